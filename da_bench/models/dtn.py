"""The network for colour digits of 32x32 pixels, such as SVHN."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import BatchNorm, Conv, Dense

CHANNELS = (64, 128, 256)
DROPOUT = (0.1, 0.3, 0.5)  # rates, after each convolution, of whole channels


@register
class Dtn(Network):
    """Three 5x5 convolutions of stride 2 and 512 features, all with batch normalisation; for images of 32x32 pixels.

    The network for SVHN -> MNIST of CDAN, SHOT and later papers. SHOT has its own layer of 256 features without dropout
    after the convolutions: width = 256, dropout = 0.

    Attributes:
        width: units of the feature layer.
        dropout: rate of the features in training; convolutions have their own rates of whole channels.

    References: the code of Long et al., Conditional Adversarial Domain Adaptation, NeurIPS 2018. arXiv:1705.10667.
    """

    width: int = 512
    dropout: float = 0.5

    def setup(self) -> None:
        """Build the layers."""
        self.convolutions = [Conv(channels, 5, (2, 2), 2) for channels in CHANNELS]
        self.norms = [BatchNorm() for _ in CHANNELS]
        self.channel_dropouts = [nn.Dropout(rate, broadcast_dims=(1, 2)) for rate in DROPOUT]
        self.bottleneck = Dense(self.width)
        self.norm = BatchNorm()
        self.feature_dropout = nn.Dropout(self.dropout)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes]."""
        maps = inputs
        for convolution, norm, dropout in zip(self.convolutions, self.norms, self.channel_dropouts, strict=True):
            maps = nn.relu(dropout(norm(convolution(maps), train), deterministic=not train))
        features = nn.relu(self.norm(self.bottleneck(maps.reshape(maps.shape[0], -1)), train))
        features = self.feature_dropout(features, deterministic=not train)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)
