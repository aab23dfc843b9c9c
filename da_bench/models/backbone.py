"""Networks whose trunk can start from published weights."""

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

HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")  # of convolutions, as in torchvision's networks


class Backbone(Network):
    """Inputs -> trunk -> bottleneck -> head. Published weights are for the trunk.

    Attributes:
        weights: name of imported weights, see `da-bench weights list`; "": the trunk starts at random.
        bottleneck: units of the feature layer between trunk and head (linear map, batch normalisation, ReLU), as
            adaptation papers on images use it. None: the features are the trunk's own, as in the published network.
        frozen: keep the trunk fixed and in evaluation mode, as if features were extracted once.
        CONVENTIONS: publishers whose names `published_arrays` knows: "torchvision", "timm", "keras", ...
        SIDE: height and width in pixels of the images that the network was published for.
        FIELDS: by convention, values of the network's fields that its files need, {"keras": {"library": "keras"}}.
        IGNORED: prefixes of names in files that belong to no part of this network.
    """

    CONVENTIONS: ClassVar[tuple[str, ...]]
    SIDE: ClassVar[int] = 224
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    IGNORED: ClassVar[tuple[str, ...]] = ()

    weights: str = ""
    bottleneck: int | None = 256
    frozen: bool = False

    def setup(self) -> None:
        """Build the parts."""
        self.trunk = self.make_trunk()
        self.neck = None if self.bottleneck is None else Neck(self.bottleneck)
        self.head = Dense(self.classes)

    @abc.abstractmethod
    def make_trunk(self) -> nn.Module:
        """The trunk, a module that maps inputs [n, ...] and `train` to features [n, d]."""

    @abc.abstractmethod
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """List every array of the trunk and the original classifier with its name in published files.

        Paths of the classifier start with ("params", "head"), those of the trunk with ("params", "trunk") or
        ("batch_stats", "trunk").

        Args:
            convention: one of `CONVENTIONS`.

        Raises:
            UserError: the convention is unknown, or its files are for other values of the network's fields.
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
    def probe_input(self) -> np.ndarray:
        """The input whose outputs are recorded at import and compared by `verify`.

        Returns:
            [1, side, side, 3] float32: waves of different length in each direction and channel.
        """
        y, x, c = np.meshgrid(np.arange(self.SIDE), np.arange(self.SIDE), np.arange(3), indexing="ij")
        return np.asarray(np.sin(0.11 * y + c) + np.cos(0.07 * x - 2 * c), np.float32)[None]

    @nn.nowrap
    def array_paths(self) -> list[tuple[str, ...]]:
        """Paths of all arrays of trunk and head, as in `PublishedArray.path`. Nothing is computed."""
        example = jax.ShapeDtypeStruct((1, self.SIDE, self.SIDE, 3), jnp.float32)
        model = self.clone(classes=max(self.classes, 1))  # outside a task the number of classes is 0
        params, stats = jax.eval_shape(lambda x: initialise(model, jax.random.key(0), x), example)
        leaves = jax.tree_util.tree_leaves_with_path({"params": params, **stats})
        paths = [tuple(step.key for step in path) for path, _ in leaves]
        return [path for path in paths if path[1] != "neck"]

    @nn.nowrap
    def check_convention(self, convention: str) -> None:
        """Raise UserError unless the convention is one of CONVENTIONS."""
        if convention not in self.CONVENTIONS:
            known = " and ".join(self.CONVENTIONS)
            raise UserError(f"{type(self).__name__} knows the names of {known} files, not of '{convention}' files")

    def check_library(self, convention: str) -> None:
        """Raise UserError unless files of the convention are for this network's `library`."""
        self.check_convention(convention)
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        wanted, library = self.FIELDS.get(convention, defaults)["library"], describe(self)["library"]
        if library != wanted:
            name = describe(self)["name"]
            raise UserError(
                f"model '{name}' with library='{library}' does not compute the network that a {convention} file is "
                f"for; set library='{wanted}'"
            )


class Neck(nn.Module):
    """Bottleneck layer [n, d] -> [n, width]: linear map, batch normalisation, ReLU.

    The linear map has no bias, because the normalisation would cancel it.
    """

    width: int

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Array:
        """[n, d] -> [n, width]."""
        mapped = Dense(self.width, use_bias=False)(features)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(mapped))
