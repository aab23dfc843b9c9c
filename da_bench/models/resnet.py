"""Residual networks, as torchvision has them.

References: He, Zhang, Ren and Sun, CVPR 2016. arXiv:1512.03385, Table 1. The stride of a bottleneck block is that of
its 3x3 convolution, as in torchvision's files and timm's; in the paper and in Keras' files it is the first 1x1's.
"""

from collections.abc import Iterator
from typing import ClassVar

import flax.linen as nn

from da_bench.models.backbone import HE, Backbone, Published, in_torch
from da_bench.models.base import register
from da_bench.models.layers import BatchNorm, Conv, max_pool, surrounded
from da_bench.types import Array


class _Basic(nn.Module):
    """Two 3x3 convolutions beside the shortcut: [n, h, w, c] -> [n, h / stride, w / stride, width]."""

    EXPANSION: ClassVar[int] = 1

    width: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', width]."""
        maps = _convolution(self.width, 3, self.stride, "conv1")(inputs)
        maps = nn.relu(BatchNorm(name="bn1")(maps, train))
        maps = BatchNorm(name="bn2")(_convolution(self.width, 3, 1, "conv2")(maps), train)
        return nn.relu(maps + _shortcut(inputs, self.width, self.stride, train))


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside the shortcut: [n, h, w, c] -> [n, h / stride, w / stride, 4 width]."""

    EXPANSION: ClassVar[int] = 4

    width: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', 4 width]."""
        maps: Array = nn.relu(BatchNorm(name="bn1")(_convolution(self.width, 1, 1, "conv1")(inputs), train))
        maps = nn.relu(BatchNorm(name="bn2")(_convolution(self.width, 3, self.stride, "conv2")(maps), train))
        features = self.EXPANSION * self.width
        maps = BatchNorm(name="bn3")(_convolution(features, 1, 1, "conv3")(maps), train)
        return nn.relu(maps + _shortcut(inputs, features, self.stride, train))


def _convolution(features: int, size: int, stride: int, name: str) -> Conv:
    around = (size // 2, size // 2)
    return Conv(features, size, around, stride, use_bias=False, kernel_init=HE, name=name)


def _shortcut(inputs: Array, features: int, stride: int, train: bool) -> Array:
    if stride == 1 and inputs.shape[-1] == features:
        return inputs
    return BatchNorm(name="downsample_1")(_convolution(features, 1, stride, "downsample_0")(inputs), train)


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 512 or 2048]: four stages of blocks, each of half the side and twice the width."""

    depths: tuple[int, ...]
    block: type[_Basic] | type[_Bottleneck]

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, d]."""
        maps: Array = nn.relu(BatchNorm(name="conv1_bn")(_convolution(64, 7, 2, "conv1")(inputs), train))
        maps = max_pool(surrounded(maps, 1, 1), 3, 2)
        for stage, depth in enumerate(self.depths):
            for i in range(depth):
                stride = 2 if stage and not i else 1
                maps = self.block(64 * 2**stage, stride, name=f"layer{stage + 1}_{i}")(maps, train)
        return maps.mean(axis=(1, 2))


class _Resnet(Backbone):
    """Pictures [n, h, w, 3] of any size from 32 pixels on."""

    STAGES: ClassVar[tuple[str, ...]] = ("conv1", "layer1", "layer2", "layer3", "layer4")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "timm")
    DEPTHS: ClassVar[tuple[int, ...]]
    BLOCK: ClassVar[type[_Basic] | type[_Bottleneck]] = _Bottleneck

    def make(self) -> nn.Module:
        """The trunk."""
        return _Trunk(self.DEPTHS, self.BLOCK)

    @nn.nowrap
    def published(self, convention: str) -> Iterator[Published]:
        """Every array; layer1_0/conv1/kernel is layer1.0.conv1.weight."""
        self.check_convention(convention)
        for path in self.paths():
            module = ".".join(path[2:-1]).replace("conv1_bn", "bn1").replace("_", ".")
            yield in_torch(path, module or "fc")


@register
class Resnet18(_Resnet):
    """ResNet-18: 11.7 million parameters, 512 features."""

    DEPTHS = (2, 2, 2, 2)
    BLOCK = _Basic


@register
class Resnet34(_Resnet):
    """ResNet-34: 21.8 million parameters, 512 features."""

    DEPTHS = (3, 4, 6, 3)
    BLOCK = _Basic


@register
class Resnet50(_Resnet):
    """ResNet-50: 25.6 million parameters, 2048 features."""

    DEPTHS = (3, 4, 6, 3)


@register
class Resnet101(_Resnet):
    """ResNet-101: 44.5 million parameters, 2048 features."""

    DEPTHS = (3, 4, 23, 3)


@register
class Resnet152(_Resnet):
    """ResNet-152: 60.2 million parameters, 2048 features."""

    DEPTHS = (3, 8, 36, 3)
