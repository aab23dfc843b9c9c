"""A small network over feature vectors."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Dense


@register
class Bottleneck(Network):
    """One ReLU layer, the feature layer, over standardised inputs; for feature vectors.

    Inputs [n, ...] are flattened. Every row is standardised by its own mean and standard deviation, so histograms may
    have any length and scale. Statistics of a domain are not used, because that would itself be adaptation.

    Attributes:
        width: units of the feature layer.
    """

    width: int = 256

    def setup(self) -> None:
        """Build the layers."""
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
