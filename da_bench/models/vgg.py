"""VGG networks, whose trunk ends with the second fully connected layer.

References: Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015. arXiv:1409.1556, Table 1, columns A, B,
D and E; with batch normalisation after every convolution as torchvision has them.
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
PLACES = 7  # rows and columns of the maps that fc6 sees
FEATURES = 4096
TORCHVISION = {"fc6": "classifier.0", "fc7": "classifier.3", "": "classifier.6"}
KERAS = {"fc6": "fc1", "fc7": "fc2", "": "predictions"}


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
        features = averaged(maps, PLACES).reshape(maps.shape[0], -1)
        for name in ("fc6", "fc7"):
            features = nn.relu(Dense(FEATURES, name=name)(features))
            features = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features

    def _convolved(self, maps: Array, train: bool, name: str, width: int) -> Array:
        maps = Conv(width, 3, "SAME", kernel_init=HE, name=name)(maps)
        return nn.relu(BatchNorm(name=f"{name}_bn")(maps, train) if self.batch_norm else maps)


def averaged(maps: Array, side: int) -> Array:
    """[n, h, w, c] -> [n, side, side, c]: means over windows that cover all places, and overlap where they must.

    Window i of h places goes from floor(i h / side) to ceil((i + 1) h / side), as PyTorch's adaptive pooling has it.
    """
    if maps.shape[1:3] == (side, side):
        return maps
    rows, columns = (jnp.asarray(_windows(have, side), maps.dtype) for have in maps.shape[1:3])
    return jnp.einsum("ah,bw,nhwc->nabc", rows, columns, maps)


def _windows(have: int, side: int) -> np.ndarray:
    places, i = np.arange(have)[None], np.arange(side)[:, None]
    inside = (places >= i * have // side) & (places < -(-(i + 1) * have // side))
    return inside / inside.sum(axis=1, keepdims=True)


class _Vgg(Backbone):
    """Images [n, h, w, 3] of any size from 32 pixels on; maps are averaged to 7x7, which they are at 224 pixels.

    dropout: after both fully connected layers in training; Keras' network has none.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")
    DEPTHS: ClassVar[tuple[int, ...]]
    BATCH_NORM: ClassVar[bool] = False

    dropout: float = 0.5

    def make_trunk(self) -> nn.Module:
        """The trunk."""
        return _Trunk(self.DEPTHS, self.BATCH_NORM, self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """Every array; conv1_2/kernel is features.2.weight in PyTorch's files, block1_conv2/kernel in Keras'."""
        self.check_convention(convention)
        places = _places(self.DEPTHS, self.BATCH_NORM)
        for path in self.array_paths():
            yield _in_torchvision(path, places) if convention == "torchvision" else _in_keras(path)


def _places(depths: tuple[int, ...], batch_norm: bool) -> dict[str, int]:
    """Of every layer in torchvision's list of them."""
    layers = []
    for block, depth in enumerate(depths):
        for name in (f"conv{block + 1}_{i + 1}" for i in range(depth)):
            layers += [name, f"{name}_bn", "relu"] if batch_norm else [name, "relu"]
        layers.append("pool")
    return {name: place for place, name in enumerate(layers)}


def _in_torchvision(path: tuple[str, ...], places: dict[str, int]) -> PublishedArray:
    module = "".join(path[2:-1])
    one = torch_array(path, TORCHVISION.get(module) or f"features.{places[module]}")
    return one._replace(convert=_rows_first) if path[2:] == ("fc6", "kernel") else one


def _rows_first(weight: np.ndarray) -> np.ndarray:
    """PyTorch flattens maps channel by channel, we (and Keras) row by row: [4096, c h w] -> [h w c, 4096]."""
    maps = weight.reshape(len(weight), WIDTHS[-1], PLACES, PLACES)
    return maps.transpose(2, 3, 1, 0).reshape(-1, len(weight))


def _in_keras(path: tuple[str, ...]) -> PublishedArray:
    module = "".join(path[2:-1])
    return PublishedArray(path, f"{KERAS.get(module) or f'block{module[4]}_conv{module[6]}'}/{path[-1]}")


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
