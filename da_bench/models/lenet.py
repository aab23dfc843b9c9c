"""Convolutional networks for digits."""

from typing import ClassVar

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Conv, Dense, max_pool


class _ConvNet(Network):
    """Convolutions, each followed by 2x2 max pooling and ReLU, then one feature layer and a linear head.

    Attributes:
        channels: output channels of the convolutions.
        size: rows and columns of their kernels.
        padding: "VALID" or "SAME", see `layers.Conv`.
        width: units of the feature layer.
        NORMALISED: whether every layer but the head has batch normalisation before its ReLU. Such layers have no bias,
            because the normalisation would cancel it.
    """

    NORMALISED: ClassVar[bool] = False

    channels: tuple[int, ...] = ()
    size: int = 0
    padding: str = "VALID"
    width: int = 0

    def setup(self) -> None:
        """Build the layers."""
        bias = not self.NORMALISED
        self.convolutions = [Conv(channels, self.size, self.padding, use_bias=bias) for channels in self.channels]
        self.bottleneck = Dense(self.width, use_bias=bias)
        layers = len(self.channels) + 1 if self.NORMALISED else 0
        self.norms = [nn.BatchNorm(momentum=0.9) for _ in range(layers)]
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes]."""
        maps = inputs
        for i, convolution in enumerate(self.convolutions):
            # ReLU and max commute, and ReLU after max is a quarter of the work; normalisation must precede the maximum
            maps = nn.relu(max_pool(self._normalised(i, convolution(maps), train)))
        flat = self.bottleneck(maps.reshape(maps.shape[0], -1))
        features = nn.relu(self._normalised(len(self.channels), flat, train))
        return Output(features, self.classify(features))

    def _normalised(self, layer: int, maps: Array, train: bool) -> Array:
        return self.norms[layer](maps, use_running_average=not train) if self.NORMALISED else maps

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


@register
class Lenet(_ConvNet):
    """Caffe's LeNet as papers on digits use it, for inputs of 28x28 pixels.

    5x5 convolutions to 20 and 50 channels, 500 features. Caffe's own network has no ReLU after the convolutions; the
    one in CDAN's code does, and also dropout of half of the features.
    """

    channels: tuple[int, ...] = (20, 50)
    size: int = 5
    width: int = 500


@register
class SmallCnn(_ConvNet):
    """Two padded 3x3 convolutions and 64 features, for inputs of 8x8 pixels."""

    channels: tuple[int, ...] = (16, 32)
    size: int = 3
    padding: str = "SAME"
    width: int = 64


@register
class LenetBn(_ConvNet):
    """`Lenet` with batch normalisation in every layer but the head, for methods that adapt batch statistics."""

    NORMALISED = True
    channels: tuple[int, ...] = (20, 50)
    size: int = 5
    width: int = 500


@register
class SmallCnnBn(_ConvNet):
    """`SmallCnn` with batch normalisation in every layer but the head."""

    NORMALISED = True
    channels: tuple[int, ...] = (16, 32)
    size: int = 3
    padding: str = "SAME"
    width: int = 64
