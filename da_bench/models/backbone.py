"""A network whose trunk may be pretrained, and how the trunk's arrays are called in the files that others publish."""

import abc
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import numpy as np

from da_bench.models.base import Network
from da_bench.models.layers import Dense
from da_bench.types import Array, Output


class Published(NamedTuple):
    """One array of ours as a published file holds it.

    path: of ours, ("params", "conv1", "kernel") or ("batch_stats", "bn1", "mean"), within the trunk or the classifier;
    name: the tensor's in the file; turned: the file's array -> ours.
    """

    path: tuple[str, ...]
    name: str
    turned: Callable[[np.ndarray], np.ndarray] = np.asarray


class Backbone(Network):
    """Inputs -> trunk -> bottleneck -> head; the trunk is what published weights are for.

    weights: the name of an imported file, see `da-bench weights`; "": the trunk starts at random. bottleneck: units of
    the layer of features between trunk and head, a linear map, batch normalisation and ReLU, as adaptation papers on
    pictures and their suites have it; None: the features are the trunk's own, as in the network that was published.
    """

    STAGES: ClassVar[tuple[str, ...]]  # the trunk's parameters by their first name's beginning, from the input upwards
    CONVENTIONS: ClassVar[tuple[str, ...]]  # whose files `published` knows the names of: "torchvision", "timm", "keras"
    SIDE: ClassVar[int] = 224  # pixels that it was published for
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # by convention, those that its files need, {"padding": ...}
    IGNORED: ClassVar[tuple[str, ...]] = ()  # how names in files begin that are no part of this network

    weights: str = ""
    bottleneck: int | None = 256

    def setup(self) -> None:
        """Name the parts."""
        self.trunk = self.make()
        self.neck = None if self.bottleneck is None else Neck(self.bottleneck)
        self.head = Dense(self.classes)

    @abc.abstractmethod
    def make(self) -> nn.Module:
        """The trunk: called with inputs [n, ...] and `train`, it returns features [n, d]."""

    @abc.abstractmethod
    def published(self, convention: str) -> Iterator[Published]:
        """Every array of trunk and original classifier, as files of one of the CONVENTIONS call it.

        Paths of the classifier start with "params", "head"; those of the trunk with "params" or "batch_stats", "trunk".
        """

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, ...] -> features [n, bottleneck], logits [n, classes]."""
        features = self.trunk(inputs, train)
        features = features if self.neck is None else self.neck(features, train)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        return self.head(features)


class Neck(nn.Module):
    """[n, d] -> [n, width]: a linear map, batch normalisation, ReLU."""

    width: int

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Array:
        """[n, d] -> [n, width]; no bias, which the normalisation would take away again."""
        mapped = Dense(self.width, use_bias=False)(features)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(mapped))
