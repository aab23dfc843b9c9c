"""Residual networks of torchvision and Keras.

References: He, Zhang, Ren and Sun, CVPR 2016. arXiv:1512.03385, Table 1.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn

from da_bench.core.types import Array
from da_bench.models.backbone import HE, Backbone
from da_bench.models.base import register
from da_bench.models.layers import BatchNorm, Conv, max_pool, pad_for_max_pool
from da_bench.models.weight_names import KERAS_NORM_NAMES, PublishedArray, torch_array


class Library(NamedTuple):
    """Differences between the published networks.

    Attributes:
        late_stride: the 3x3 convolution of a bottleneck block has its stride; else the first 1x1, as in the paper.
        bias: whether convolutions have a bias.
        rate: of `BatchNorm`.
        epsilon: of `BatchNorm`.
        unbiased: of `BatchNorm`.
    """

    late_stride: bool
    bias: bool
    rate: float
    epsilon: float
    unbiased: bool


TORCHVISION = Library(late_stride=True, bias=False, rate=0.1, epsilon=1e-5, unbiased=True)
LIBRARIES = {
    "torchvision": TORCHVISION,
    "keras": Library(late_stride=False, bias=True, rate=0.01, epsilon=1.001e-5, unbiased=False),
}


class _Basic(nn.Module):
    """Two 3x3 convolutions, parallel to the shortcut: [n, h, w, c] -> [n, h / stride, w / stride, width]."""

    EXPANSION: ClassVar[int] = 1

    width: int
    stride: int
    library: Library

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', width]."""
        maps = _convolution(self.library, self.width, 3, self.stride, "conv1")(inputs)
        maps = nn.relu(_norm(self.library, "bn1")(maps, train))
        maps = _norm(self.library, "bn2")(_convolution(self.library, self.width, 3, 1, "conv2")(maps), train)
        return nn.relu(maps + _shortcut(self, inputs, train))


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, parallel to the shortcut: [n, h, w, c] -> [n, h / stride, w / stride, 4 width]."""

    EXPANSION: ClassVar[int] = 4

    width: int
    stride: int
    library: Library

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', 4 width]."""
        features = self.EXPANSION * self.width
        strides = (1, self.stride) if self.library.late_stride else (self.stride, 1)
        maps: Array = _convolution(self.library, self.width, 1, strides[0], "conv1")(inputs)
        maps = nn.relu(_norm(self.library, "bn1")(maps, train))
        maps = _convolution(self.library, self.width, 3, strides[1], "conv2")(maps)
        maps = nn.relu(_norm(self.library, "bn2")(maps, train))
        maps = _norm(self.library, "bn3")(_convolution(self.library, features, 1, 1, "conv3")(maps), train)
        return nn.relu(maps + _shortcut(self, inputs, train))


def _convolution(library: Library, features: int, size: int, stride: int, name: str) -> Conv:
    padding = (size // 2, size // 2)
    return Conv(features, size, padding, stride, use_bias=library.bias, kernel_init=HE, name=name)


def _norm(library: Library, name: str) -> BatchNorm:
    return BatchNorm(library.rate, library.epsilon, library.unbiased, name=name)


def _shortcut(block: _Basic | _Bottleneck, inputs: Array, train: bool) -> Array:
    features = block.EXPANSION * block.width
    if block.stride == 1 and inputs.shape[-1] == features:
        return inputs
    maps = _convolution(block.library, features, 1, block.stride, "downsample_0")(inputs)
    return _norm(block.library, "downsample_1")(maps, train)


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 512 or 2048]: four stages of blocks; each halves the side and doubles the width."""

    depths: tuple[int, ...]
    block: type[_Basic] | type[_Bottleneck]
    library: Library

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, d]."""
        maps: Array = _convolution(self.library, 64, 7, 2, "conv1")(inputs)
        maps = nn.relu(_norm(self.library, "conv1_bn")(maps, train))
        maps = max_pool(pad_for_max_pool(maps, 1, 1), 3, 2)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage and not i else 1
                maps = self.block(64 * 2**stage, stride, self.library, name=f"layer{stage + 1}_{i}")(maps, train)
        return maps.mean(axis=(1, 2))


class _Resnet(Backbone):
    """ResNet for images [n, h, w, 3] of any size from 32 pixels.

    Attributes:
        DEPTHS: number of blocks in each of the four stages.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("conv1", "layer1", "layer2", "layer3", "layer4")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "timm")
    DEPTHS: ClassVar[tuple[int, ...]]

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. layer1_0/conv1/kernel is layer1.0.conv1.weight."""
        self.check_convention(convention)
        for path in self.array_paths():
            module = ".".join(path[2:-1]).replace("conv1_bn", "bn1").replace("_", ".")
            yield torch_array(path, module or "fc")


class _Shallow(_Resnet):
    """ResNet of basic blocks."""

    def make_trunk(self) -> nn.Module:
        """See `Backbone`."""
        return _Trunk(self.DEPTHS, _Basic, TORCHVISION)


class _Deep(_Resnet):
    """ResNet of bottleneck blocks.

    Attributes:
        library: whose network it is; files of one library cannot be used for the other. "torchvision": also timm's.
            "keras": convolutions have a bias, the first convolution of a block has its stride, epsilon differs, and
            running statistics keep 0.99 a step.
    """

    CONVENTIONS: ClassVar[tuple[str, ...]] = (*_Resnet.CONVENTIONS, "keras")
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras": {"library": "keras"}}

    library: Literal["torchvision", "keras"] = "torchvision"

    def make_trunk(self) -> nn.Module:
        """See `Backbone`."""
        return _Trunk(self.DEPTHS, _Bottleneck, LIBRARIES[self.library])

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. layer1_0/conv1/kernel is layer1.0.conv1.weight, or Keras' conv2_block1_1_conv/kernel.

        Raises:
            UserError: the convention is the other library's.
        """
        self.check_library(convention)
        if convention == "keras":
            return (PublishedArray(path, _keras_name(path)) for path in self.array_paths())
        return super().published_arrays(convention)


OUTSIDE_BLOCKS = {(): "predictions", ("conv1",): "conv1_conv", ("conv1_bn",): "conv1_bn"}
SHORTCUT = {"downsample_0": "0_conv", "downsample_1": "0_bn"}


def _keras_name(path: tuple[str, ...]) -> str:
    """layer1_0/bn2/scale -> conv2_block1_2_bn/gamma."""
    *layer, leaf = path[2:]
    name = OUTSIDE_BLOCKS.get(tuple(layer)) or _keras_block_name(*layer)
    return f"{name}/{KERAS_NORM_NAMES[leaf] if name.endswith('bn') else leaf}"


def _keras_block_name(block: str, part: str) -> str:
    stage, index = map(int, block.removeprefix("layer").split("_"))
    within = SHORTCUT.get(part) or f"{part[-1]}_{part[:-1]}"
    return f"conv{stage + 1}_block{index + 1}_{within}"


@register
class Resnet18(_Shallow):
    """ResNet-18: 11.7 million parameters, 512 features."""

    DEPTHS = (2, 2, 2, 2)


@register
class Resnet34(_Shallow):
    """ResNet-34: 21.8 million parameters, 512 features."""

    DEPTHS = (3, 4, 6, 3)


@register
class Resnet50(_Deep):
    """ResNet-50: 25.6 million parameters, 2048 features."""

    DEPTHS = (3, 4, 6, 3)


@register
class Resnet101(_Deep):
    """ResNet-101: 44.5 million parameters, 2048 features."""

    DEPTHS = (3, 4, 23, 3)


@register
class Resnet152(_Deep):
    """ResNet-152: 60.2 million parameters, 2048 features."""

    DEPTHS = (3, 8, 36, 3)
