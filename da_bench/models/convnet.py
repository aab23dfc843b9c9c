"""Small convolutional network for images."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Conv, Dense, max_pool

SMALL, LARGE = 8, 64  # pixels: three poolings leave nothing of less; of more, patches are taken first
PATCH = 4


@register
class Convnet(Network):
    """Small network for images, trained from scratch: a test of the pipeline and of methods.

    It says nothing of the state of the art on Office-31 and the like, where networks start from ImageNet weights. Four
    padded 3x3 convolutions, 2x2 pooling between them, the mean over all places, one feature layer; for images of any
    size from 8x8 on. From 64x64 on, 4x4 patches are mapped to the first number of channels before, which makes a step
    about ten times as fast.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128)
    width: int = 128

    def setup(self) -> None:
        """Name the layers."""
        self.patches = Dense(self.channels[0])
        self.convolutions = [Conv(channels, 3, "SAME") for channels in self.channels]
        self.bottleneck = Dense(self.width)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes].

        Raises:
            ValueError: the inputs are no images, or smaller than 8x8.
        """
        if inputs.ndim != 4 or min(inputs.shape[1:3]) < SMALL:
            raise ValueError(f"it takes images [n, h, w, c] of {SMALL}x{SMALL} pixels at least")
        maps = nn.relu(self.patches(cut(inputs))) if min(inputs.shape[1:3]) >= LARGE else inputs
        for i, convolution in enumerate(self.convolutions):
            maps = nn.relu(convolution(max_pool(maps) if i else maps))
        features = nn.relu(self.bottleneck(maps.mean(axis=(1, 2))))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


def cut(inputs: Array) -> Array:
    """Patches of 4x4 pixels as vectors: [n, h, w, c] -> [n, h // 4, w // 4, 16 c]; what is left over is dropped."""
    n, height, width, channels = inputs.shape[0], inputs.shape[1] // PATCH, inputs.shape[2] // PATCH, inputs.shape[3]
    whole = inputs[:, : height * PATCH, : width * PATCH]
    blocks = whole.reshape(n, height, PATCH, width, PATCH, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, PATCH * PATCH * channels)
