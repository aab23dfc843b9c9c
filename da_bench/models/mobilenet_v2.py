"""MobileNetV2 of width 1.

References: Sandler et al., Inverted Residuals and Linear Bottlenecks, CVPR 2018. arXiv:1801.04381, Table 2.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn
import numpy as np

from da_bench.core.types import Array
from da_bench.models.backbone import HE, Backbone
from da_bench.models.base import register
from da_bench.models.layers import BatchNorm, Conv, DepthwiseConv
from da_bench.models.weight_names import PublishedArray, torch_array

FEATURES = 1280
EXPANSION = 6  # of all blocks but the first, which has none
TABLE = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))  # c, n, s of the paper
BLOCKS = [f"stage{stage + 1}_{i}" for stage, (_, blocks, _) in enumerate(TABLE) for i in range(blocks)]


class Library(NamedTuple):
    """What the published networks differ in.

    around: zeros before and after a convolution of stride 2; rate, epsilon, unbiased: of `BatchNorm`.
    """

    around: tuple[int, int]
    rate: float
    epsilon: float
    unbiased: bool


LIBRARIES = {
    "torchvision": Library((1, 1), 0.1, 1e-5, unbiased=True),
    "keras": Library((0, 1), 0.001, 1e-3, unbiased=False),
}


class _Block(nn.Module):
    """Expand, filter each channel, project: [n, h, w, c] -> [n, h / stride, w / stride, features]."""

    features: int
    stride: int
    expansion: int
    library: Library

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', features]."""
        maps, channels = inputs, inputs.shape[-1]
        if self.expansion > 1:
            maps = nn.relu6(self._mapped(maps, train, self.expansion * channels, "expand"))
        around = self.library.around if self.stride == 2 else (1, 1)
        maps = DepthwiseConv(3, around, self.stride, kernel_init=HE, name="depthwise")(maps)
        maps = nn.relu6(_norm(self.library, "depthwise_bn")(maps, train))
        maps = self._mapped(maps, train, self.features, "project")
        return maps + inputs if self.stride == 1 and channels == self.features else maps

    def _mapped(self, maps: Array, train: bool, features: int, name: str) -> Array:
        maps = Conv(features, 1, use_bias=False, kernel_init=HE, name=name)(maps)
        return _norm(self.library, f"{name}_bn")(maps, train)


def _norm(library: Library, name: str) -> BatchNorm:
    return BatchNorm(library.rate, library.epsilon, library.unbiased, name=name)


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 1280]."""

    library: Library
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, 1280]."""
        maps = Conv(32, 3, self.library.around, 2, use_bias=False, kernel_init=HE, name="stem")(inputs)
        maps = nn.relu6(_norm(self.library, "stem_bn")(maps, train))
        for stage, (features, blocks, stride) in enumerate(TABLE):
            for i in range(blocks):
                shape = features, 1 if i else stride, EXPANSION if stage else 1
                maps = _Block(*shape, self.library, name=f"stage{stage + 1}_{i}")(maps, train)
        maps = Conv(FEATURES, 1, use_bias=False, kernel_init=HE, name="last")(maps)
        means = nn.relu6(_norm(self.library, "last_bn")(maps, train)).mean(axis=(1, 2))
        return nn.Dropout(self.dropout, deterministic=not train)(means)


@register
class MobilenetV2(Backbone):
    """MobileNetV2 of width 1 for images [n, h, w, 3] of any size from 32 pixels on; 1280 features.

    library: whose network it is, so whose weights give it their numbers: zeros are put around the maps before
    convolutions of stride 2 on both sides (torchvision) or at the end only (keras, which does so for images of an
    even side), and epsilon and pace of batch normalisation are its own. dropout: of the features in training; Keras'
    network has none.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("stem", *(f"stage{i + 1}" for i in range(len(TABLE))), "last")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras": {"library": "keras"}}

    library: Literal["torchvision", "keras"] = "torchvision"
    dropout: float = 0.2

    def make_trunk(self) -> nn.Module:
        """The trunk."""
        return _Trunk(LIBRARIES[self.library], self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """Every array; stage2_0/project/kernel is features.2.conv.2.weight, or block_1_project/kernel in Keras."""
        self.check_convention(convention)
        for path in self.array_paths():
            yield (_in_torchvision if convention == "torchvision" else _in_keras)(path)


def _in_torchvision(path: tuple[str, ...]) -> PublishedArray:
    modules = path[2:-1] or ("classifier",)
    if modules[0] in OUTSIDE:
        return torch_array(path, OUTSIDE[modules[0]][0])
    block, layer = BLOCKS.index(modules[0]), modules[1]
    layers = ["expand", "depthwise", "project"][block == 0 :]  # all but the last are a convolution, its norm, ReLU6
    place, norm = layers.index(layer.removesuffix("_bn")), layer.endswith("_bn")
    within = f"{place + norm}" if layer.startswith("project") else f"{place}.{int(norm)}"
    return torch_array(path, f"features.{block + 1}.conv.{within}")


def _in_keras(path: tuple[str, ...]) -> PublishedArray:
    modules, leaf = path[2:-1] or ("classifier",), path[-1]
    if modules[0] in OUTSIDE:
        layer = OUTSIDE[modules[0]][1]
    else:
        block = BLOCKS.index(modules[0])
        layer = f"{f'block_{block}' if block else 'expanded_conv'}_{modules[1].replace('_bn', '_BN')}"
    if modules[-1] == "depthwise":
        return PublishedArray(path, f"{layer}/depthwise_kernel", _channels_last)
    return PublishedArray(path, f"{layer}/{KERAS.get(leaf, leaf) if modules[-1].endswith('_bn') else leaf}")


def _channels_last(kernel: np.ndarray) -> np.ndarray:
    """Keras' [3, 3, c, 1] -> [3, 3, 1, c]."""
    return kernel.transpose(0, 1, 3, 2)


OUTSIDE = {  # of the blocks: what torchvision and Keras call it
    "stem": ("features.0.0", "Conv1"),
    "stem_bn": ("features.0.1", "bn_Conv1"),
    "last": ("features.18.0", "Conv_1"),
    "last_bn": ("features.18.1", "Conv_1_bn"),
    "classifier": ("classifier.1", "predictions"),
}
KERAS = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
