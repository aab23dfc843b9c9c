"""Small convolutional network for images."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Conv, Dense, max_pool

MIN_SIDE = 8  # pixels; three poolings leave nothing of smaller images
PATCHED_SIDE = 64  # pixels; larger images are cut into patches first
PATCH = 4  # pixels


@register
class Convnet(Network):
    """Small network for images of any size from 8x8 pixels, trained from scratch.

    It is a test of the pipeline and of methods. It says nothing about the state of the art on Office-31 and similar
    data sets, where networks start from ImageNet weights. Four padded 3x3 convolutions with 2x2 pooling between them,
    the mean over all positions, and one feature layer. Images of 64x64 pixels or more are first cut into 4x4 patches,
    which are mapped to the first number of channels; this makes a step about ten times as fast.

    Attributes:
        channels: output channels of the convolutions.
        width: units of the feature layer.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    width: int = 128

    def setup(self) -> None:
        """Build the layers."""
        self.patches = Dense(self.channels[0])
        self.convolutions = [Conv(channels, 3, "SAME") for channels in self.channels]
        self.bottleneck = Dense(self.width)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes].

        Raises:
            ValueError: the inputs are not images of at least 8x8 pixels.
        """
        if inputs.ndim != 4 or min(inputs.shape[1:3]) < MIN_SIDE:
            raise ValueError(f"it needs images [n, h, w, c] of at least {MIN_SIDE}x{MIN_SIDE} pixels")
        maps = nn.relu(self.patches(cut_patches(inputs))) if min(inputs.shape[1:3]) >= PATCHED_SIDE else inputs
        for i, convolution in enumerate(self.convolutions):
            maps = nn.relu(convolution(max_pool(maps) if i else maps))
        features = nn.relu(self.bottleneck(maps.mean(axis=(1, 2))))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


def cut_patches(inputs: Array) -> Array:
    """Cut images into patches of 4x4 pixels: [n, h, w, c] -> [n, h // 4, w // 4, 16 c].

    Incomplete patches at the border are dropped.
    """
    n, height, width, channels = inputs.shape[0], inputs.shape[1] // PATCH, inputs.shape[2] // PATCH, inputs.shape[3]
    cropped = inputs[:, : height * PATCH, : width * PATCH]
    blocks = cropped.reshape(n, height, PATCH, width, PATCH, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, PATCH * PATCH * channels)
