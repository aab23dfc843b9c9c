"""A network whose trunk may be pretrained, and how the trunk's arrays are called in the files that others publish."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array, Output
from da_bench.models.base import Network, describe, initialise
from da_bench.models.layers import Dense
from da_bench.models.weight_names import PublishedArray

HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # of convolutions, as torchvision's networks have it


class Backbone(Network):
    """Inputs -> trunk -> bottleneck -> head; the trunk is what published weights are for.

    weights: the name of an imported file, see `da-bench weights`; "": the trunk starts at random. bottleneck: units of
    the layer of features between trunk and head, a linear map, batch normalisation and ReLU, as adaptation papers on
    images and their suites have it; None: the features are the trunk's own, as in the network that was published.
    frozen: the trunk stays what it was, in evaluation mode too, as where features are extracted once.
    """

    CONVENTIONS: ClassVar[tuple[str, ...]]  # whose files `published` knows the names of: "torchvision", "timm", "keras"
    SIDE: ClassVar[int] = 224  # pixels that it was published for
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # by convention, those that its files need, {"padding": ...}
    IGNORED: ClassVar[tuple[str, ...]] = ()  # how names in files begin that are no part of this network

    weights: str = ""
    bottleneck: int | None = 256
    frozen: bool = False

    def setup(self) -> None:
        """Name the parts."""
        self.trunk = self.make()
        self.neck = None if self.bottleneck is None else Neck(self.bottleneck)
        self.head = Dense(self.classes)

    @abc.abstractmethod
    def make(self) -> nn.Module:
        """The trunk: called with inputs [n, ...] and `train`, it returns features [n, d]."""

    @abc.abstractmethod
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """Every array of trunk and original classifier, as files of one of the CONVENTIONS call it.

        Paths of the classifier start with "params", "head"; those of the trunk with "params" or "batch_stats", "trunk".
        """

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, ...] -> features [n, bottleneck], logits [n, classes]."""
        features = jax.lax.stop_gradient(self.trunk(inputs, False)) if self.frozen else self.trunk(inputs, train)
        features = features if self.neck is None else self.neck(features, train)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        return self.head(features)

    @nn.nowrap
    def probe(self) -> np.ndarray:
        """The input of the parity vector, [1, side, side, 3]: waves of another length in each direction and channel."""
        y, x, c = np.meshgrid(np.arange(self.SIDE), np.arange(self.SIDE), np.arange(3), indexing="ij")
        return np.asarray(np.sin(0.11 * y + c) + np.cos(0.07 * x - 2 * c), np.float32)[None]

    @nn.nowrap
    def paths(self) -> list[tuple[str, ...]]:
        """Of every array of trunk and head, as `Published` has it; nothing is computed."""
        example = jax.ShapeDtypeStruct((1, self.SIDE, self.SIDE, 3), jnp.float32)
        model = self.clone(classes=max(self.classes, 1))  # outside of a task it has none
        params, stats = jax.eval_shape(lambda x: initialise(model, jax.random.key(0), x), example)
        leaves = jax.tree_util.tree_leaves_with_path({"params": params, **stats})
        names = [tuple(step.key for step in path) for path, _ in leaves]
        return [path for path in names if path[1] != "neck"]

    @nn.nowrap
    def check_convention(self, convention: str) -> None:
        """Raise UserError unless it is one of CONVENTIONS."""
        if convention not in self.CONVENTIONS:
            known = " and ".join(self.CONVENTIONS)
            raise UserError(f"{type(self).__name__} knows the names of {known}, not of '{convention}'")

    def check_library(self, convention: str) -> None:
        """Raise UserError unless files of the convention are for the `library` that this network has."""
        self.check_convention(convention)
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        wanted, library = self.FIELDS.get(convention, usual)["library"], describe(self)["library"]
        if library != wanted:
            raise UserError(
                f"model '{describe(self)['name']}' with library='{library}' does not compute what a {convention} file "
                f"is for; give it library='{wanted}'"
            )


class Neck(nn.Module):
    """[n, d] -> [n, width]: a linear map, batch normalisation, ReLU."""

    width: int

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Array:
        """[n, d] -> [n, width]; no bias, which the normalisation would take away again."""
        mapped = Dense(self.width, use_bias=False)(features)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(mapped))
