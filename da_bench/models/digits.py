"""Networks for digits of specific papers and suites, besides `Lenet` and `Dtn`."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.heads import Head
from da_bench.models.layers import BatchNorm, Conv, Dense, max_pool


@register
class GaninMnist(Network):
    """DANN's network for MNIST -> MNIST-M: convolutional features and a classifier of three layers.

    Two 5x5 convolutions with 2x2 max pooling and ReLU, whose flattened maps are the features; the classifier has two
    layers of 100 units and a linear one.

    Attributes:
        channels: output channels of the convolutions.
        hidden: units of the classifier's hidden layers.
        pixels: side of the central square that is cropped from the inputs; 0: the inputs as they are.
        mean: subtracted from the inputs.

    References: Ganin et al., JMLR 2016. arXiv:1505.07818, Figure 4 (a) and Section 5.2.
    """

    channels: tuple[int, ...] = (32, 48)
    hidden: tuple[int, ...] = (100, 100)
    pixels: int = 0
    mean: float = 0.0

    def setup(self) -> None:
        """Build the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in self.channels]
        self.head = Head(self.hidden, self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, d], logits [n, classes]; d is 768 of 28 pixels, 1200 of 32."""
        maps = (_crop_centre(inputs, self.pixels) if self.pixels else inputs) - self.mean
        for convolution in self.convolutions:
            maps = nn.relu(max_pool(convolution(maps)))
        features = maps.reshape(maps.shape[0], -1)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        return self.head(features)


def _crop_centre(inputs: Array, pixels: int) -> Array:
    top, left = ((side - pixels) // 2 for side in inputs.shape[1:3])
    if min(top, left) < 0:
        raise ValueError(f"pixels = {pixels} is more than the inputs have: {inputs.shape[1]}x{inputs.shape[2]}")
    return inputs[:, top : top + pixels, left : left + pixels]


@register
class ShotLenet(Network):
    """SHOT's network for MNIST and USPS: LeNet's convolutions, 256 normalised features, a weight-normalised classifier.

    Attributes:
        width: units of the feature layer.
        dropout: rate of the second convolution's channels and of the features, in training.

    References: the code of Liang et al., Do We Really Need to Access the Source Data?, ICML 2020. arXiv:2002.08546.
    """

    width: int = 256
    dropout: float = 0.5

    def setup(self) -> None:
        """Build the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in (20, 50)]
        self.channel_dropout = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
        self.bottleneck = Dense(self.width)
        self.norm = BatchNorm()
        self.feature_dropout = nn.Dropout(self.dropout)
        self.head = nn.WeightNorm(Dense(self.classes))

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes]."""
        first, second = self.convolutions
        maps = nn.relu(max_pool(first(inputs)))
        maps = nn.relu(max_pool(self.channel_dropout(second(maps), deterministic=not train)))
        features = self.norm(self.bottleneck(maps.reshape(maps.shape[0], -1)), train)
        features = self.feature_dropout(features, deterministic=not train)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


@register
class AdaDigits(Network):
    """pytorch-ada's network for digits of 32x32 pixels: three convolutions, 128 sigmoid features, three dense layers.

    All layers but the last have batch normalisation; the classifier's first layer has dropout of one half.

    References: github.com/criteo-research/pytorch-ada.
    """

    def setup(self) -> None:
        """Build the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in (64, 64, 128)]
        self.norms = [BatchNorm() for _ in self.convolutions]
        self.hidden = [Dense(100) for _ in range(2)]
        self.hidden_norms = [BatchNorm() for _ in self.hidden]
        self.dropout = nn.Dropout(0.5)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, 32, 32, c] -> features [n, 128], logits [n, classes]."""
        maps = inputs
        *hidden_layers, (last, last_norm) = zip(self.convolutions, self.norms, strict=True)
        for convolution, norm in hidden_layers:
            maps = nn.relu(max_pool(norm(convolution(maps), train)))
        features = nn.sigmoid(last_norm(last(maps), train)).reshape(maps.shape[0], -1)
        return Output(features, self.classify(features, train))

    def classify(self, features: Array, train: bool = False) -> Array:
        """[n, 128] -> [n, classes]; `train`: with batch statistics of the rows and with dropout."""
        first = self.dropout(self._activated(0, features, train), deterministic=not train)
        return self.head(self._activated(1, first, train))

    def _activated(self, layer: int, x: Array, train: bool) -> Array:
        return nn.relu(self.hidden_norms[layer](self.hidden[layer](x), train))
