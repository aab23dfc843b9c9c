"""A small network over features."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Dense


@register
class Bottleneck(Network):
    """One layer of ReLU units, the features, over inputs whose rows are each standardised; for feature vectors.

    Inputs [n, ...] are flattened. A row's own mean and standard deviation are taken from it, so histograms may be of
    any length and scale, and no statistic of a domain is used, which would be adaptation by itself.
    """

    width: int = 256

    def setup(self) -> None:
        """Name the layers."""
        self.normalise = nn.LayerNorm(use_bias=False, use_scale=False)
        self.bottleneck = Dense(self.width)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, ...] -> features [n, width], logits [n, classes]."""
        features = nn.relu(self.bottleneck(self.normalise(inputs.reshape(inputs.shape[0], -1))))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)
