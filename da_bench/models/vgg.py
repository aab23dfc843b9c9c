"""VGG networks. The trunk ends with the second fully connected layer.

References: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015. arXiv:1409.1556, Table 1, columns A, B,
D and E. The variants with batch normalisation after every convolution are torchvision's.
"""

from collections.abc import Iterator
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from da_bench.core.types import Array
from da_bench.models.backbone import HE, Backbone
from da_bench.models.base import register
from da_bench.models.layers import BatchNorm, Conv, Dense, max_pool
from da_bench.models.weight_names import PublishedArray, torch_array

WIDTHS = (64, 128, 256, 512, 512)  # of the five blocks
POOLED_SIDE = 7  # rows and columns of the input of fc6
FEATURES = 4096
TORCHVISION_NAMES = {"fc6": "classifier.0", "fc7": "classifier.3", "": "classifier.6"}
KERAS_NAMES = {"fc6": "fc1", "fc7": "fc2", "": "predictions"}


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 4096]: blocks of 3x3 convolutions, then two fully connected layers."""

    depths: tuple[int, ...]
    batch_norm: bool
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, 4096]."""
        maps = inputs
        for block, depth in enumerate(self.depths):
            for i in range(depth):
                maps = self._convolved(maps, train, f"conv{block + 1}_{i + 1}", WIDTHS[block])
            maps = max_pool(maps)
        features = adaptive_mean_pool(maps, POOLED_SIDE).reshape(maps.shape[0], -1)
        for name in ("fc6", "fc7"):
            features = nn.relu(Dense(FEATURES, name=name)(features))
            features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features

    def _convolved(self, maps: Array, train: bool, name: str, width: int) -> Array:
        maps = Conv(width, 3, "SAME", kernel_init=HE, name=name)(maps)
        return nn.relu(BatchNorm(name=f"{name}_bn")(maps, train) if self.batch_norm else maps)


def adaptive_mean_pool(maps: Array, side: int) -> Array:
    """Average to a fixed size, [n, h, w, c] -> [n, side, side, c], over windows that cover all positions.

    Window i of h positions goes from floor(i h / side) to ceil((i + 1) h / side), as in PyTorch's adaptive pooling.
    Windows overlap if h is not a multiple of the side.
    """
    if maps.shape[1:3] == (side, side):
        return maps
    rows, columns = (jnp.asarray(_window_weights(size, side), maps.dtype) for size in maps.shape[1:3])
    return jnp.einsum("ah,bw,nhwc->nabc", rows, columns, maps)


def _window_weights(size: int, side: int) -> np.ndarray:
    """[side, size]: weight of each of `size` positions in each window."""
    position, i = np.arange(size)[None], np.arange(side)[:, None]
    inside = (position >= i * size // side) & (position < -(-(i + 1) * size // side))
    return inside / inside.sum(axis=1, keepdims=True)


class _Vgg(Backbone):
    """VGG for images [n, h, w, 3] of any size from 32 pixels.

    Maps are averaged to 7x7, the size that they have for images of 224 pixels.

    Attributes:
        dropout: rate after both fully connected layers in training; Keras' network has none.
        DEPTHS: number of convolutions in each of the five blocks.
        BATCH_NORM: whether batch normalisation follows every convolution.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")
    DEPTHS: ClassVar[tuple[int, ...]]
    BATCH_NORM: ClassVar[bool] = False

    dropout: float = 0.5

    def make_trunk(self) -> nn.Module:
        """See `Backbone`."""
        return _Trunk(self.DEPTHS, self.BATCH_NORM, self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. conv1_2/kernel is features.2.weight in PyTorch's files and block1_conv2/kernel in Keras'."""
        self.check_convention(convention)
        indices = _torchvision_indices(self.DEPTHS, self.BATCH_NORM)
        for path in self.array_paths():
            yield _torchvision_array(path, indices) if convention == "torchvision" else _keras_array(path)


def _torchvision_indices(depths: tuple[int, ...], batch_norm: bool) -> dict[str, int]:
    """Index of every layer in torchvision's list of layers."""
    layers = []
    for block, depth in enumerate(depths):
        for name in (f"conv{block + 1}_{i + 1}" for i in range(depth)):
            layers += [name, f"{name}_bn", "relu"] if batch_norm else [name, "relu"]
        layers.append("pool")
    return {name: index for index, name in enumerate(layers)}


def _torchvision_array(path: tuple[str, ...], indices: dict[str, int]) -> PublishedArray:
    module = "".join(path[2:-1])
    array = torch_array(path, TORCHVISION_NAMES.get(module) or f"features.{indices[module]}")
    return array._replace(convert=_rows_first) if path[2:] == ("fc6", "kernel") else array


def _rows_first(weight: np.ndarray) -> np.ndarray:
    """[4096, c h w] -> [h w c, 4096]: PyTorch flattens maps channel by channel, this network and Keras row by row."""
    maps = weight.reshape(len(weight), WIDTHS[-1], POOLED_SIDE, POOLED_SIDE)
    return maps.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def _keras_array(path: tuple[str, ...]) -> PublishedArray:
    module = "".join(path[2:-1])
    return PublishedArray(path, f"{KERAS_NAMES.get(module) or f'block{module[4]}_conv{module[6]}'}/{path[-1]}")


@register
class Vgg11(_Vgg):
    """VGG-11: 133 million parameters, 4096 features."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (1, 1, 2, 2, 2)


@register
class Vgg13(_Vgg):
    """VGG-13: 133 million parameters, 4096 features."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (2, 2, 2, 2, 2)


@register
class Vgg16(_Vgg):
    """VGG-16: 138 million parameters, 4096 features."""

    DEPTHS = (2, 2, 3, 3, 3)


@register
class Vgg19(_Vgg):
    """VGG-19: 144 million parameters, 4096 features."""

    DEPTHS = (2, 2, 4, 4, 4)


@register
class Vgg11Bn(_Vgg):
    """VGG-11 with batch normalisation."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (1, 1, 2, 2, 2)
    BATCH_NORM = True


@register
class Vgg13Bn(_Vgg):
    """VGG-13 with batch normalisation."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (2, 2, 2, 2, 2)
    BATCH_NORM = True


@register
class Vgg16Bn(_Vgg):
    """VGG-16 with batch normalisation."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (2, 2, 3, 3, 3)
    BATCH_NORM = True


@register
class Vgg19Bn(_Vgg):
    """VGG-19 with batch normalisation."""

    CONVENTIONS = ("torchvision",)
    DEPTHS = (2, 2, 4, 4, 4)
    BATCH_NORM = True
