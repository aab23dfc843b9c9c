"""MobileNetV2 of width 1.

References: Sandler et al., Inverted Residuals and Linear Bottlenecks, CVPR 2018. arXiv:1801.04381, Table 2.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn

from da_bench.core.types import Array
from da_bench.models.backbone import HE, Backbone
from da_bench.models.base import register
from da_bench.models.layers import BatchNorm, Conv, DepthwiseConv
from da_bench.models.weight_names import KERAS_NORM_NAMES, PublishedArray, keras_depthwise_layout, torch_array

FEATURES = 1280
EXPANSION = 6  # of all blocks but the first, which does not expand
# c, n and s of Table 2: channels, blocks and stride of a stage
TABLE = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
BLOCKS = [f"stage{stage + 1}_{i}" for stage, (_, blocks, _) in enumerate(TABLE) for i in range(blocks)]


class Library(NamedTuple):
    """Differences between the published networks.

    Attributes:
        padding: zeros before and after the maps of a convolution of stride 2.
        rate: of `BatchNorm`.
        epsilon: of `BatchNorm`.
        unbiased: of `BatchNorm`.
    """

    padding: tuple[int, int]
    rate: float
    epsilon: float
    unbiased: bool


LIBRARIES = {
    "torchvision": Library((1, 1), 0.1, 1e-5, unbiased=True),
    "keras": Library((0, 1), 0.001, 1e-3, unbiased=False),
}


class _Block(nn.Module):
    """Inverted residual [n, h, w, c] -> [n, h / stride, w / stride, features]: expand, filter each channel, project."""

    features: int
    stride: int
    expansion: int
    library: Library

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', features]."""
        maps, channels = inputs, inputs.shape[-1]
        if self.expansion > 1:
            maps = nn.relu6(self._pointwise(maps, train, self.expansion * channels, "expand"))
        padding = self.library.padding if self.stride == 2 else (1, 1)
        maps = DepthwiseConv(3, padding, self.stride, kernel_init=HE, name="depthwise")(maps)
        maps = nn.relu6(_norm(self.library, "depthwise_bn")(maps, train))
        maps = self._pointwise(maps, train, self.features, "project")
        return maps + inputs if self.stride == 1 and channels == self.features else maps

    def _pointwise(self, maps: Array, train: bool, features: int, name: str) -> Array:
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
        maps = Conv(32, 3, self.library.padding, 2, use_bias=False, kernel_init=HE, name="stem")(inputs)
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
    """MobileNetV2 of width 1 for images [n, h, w, 3] of any size from 32 pixels; 1280 features.

    Attributes:
        library: whose network it is, and so whose weights fit. Before convolutions of stride 2, maps are padded with
            zeros on both sides ("torchvision") or at the end only ("keras", which does so for images of an even side).
            Epsilon and rate of batch normalisation differ too.
        dropout: rate of the features in training; Keras' network has none.
    """

    STAGES: ClassVar[tuple[str, ...]] = ("stem", *(f"stage{i + 1}" for i in range(len(TABLE))), "last")
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras": {"library": "keras"}}

    library: Literal["torchvision", "keras"] = "torchvision"
    dropout: float = 0.2

    def make_trunk(self) -> nn.Module:
        """See `Backbone`."""
        return _Trunk(LIBRARIES[self.library], self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. stage2_0/project/kernel is features.2.conv.2.weight, or block_1_project/kernel in Keras."""
        self.check_convention(convention)
        for path in self.array_paths():
            yield _torchvision_array(path) if convention == "torchvision" else _keras_array(path)


def _torchvision_array(path: tuple[str, ...]) -> PublishedArray:
    modules = path[2:-1] or ("classifier",)
    if modules[0] in OUTSIDE_BLOCKS:
        return torch_array(path, OUTSIDE_BLOCKS[modules[0]][0])
    block, layer = BLOCKS.index(modules[0]), modules[1]
    # layers but the last are a list of convolution, normalisation and ReLU6
    layers = ["expand", "depthwise", "project"][block == 0 :]
    index, is_norm = layers.index(layer.removesuffix("_bn")), layer.endswith("_bn")
    within = f"{index + is_norm}" if layer.startswith("project") else f"{index}.{int(is_norm)}"
    return torch_array(path, f"features.{block + 1}.conv.{within}")


def _keras_array(path: tuple[str, ...]) -> PublishedArray:
    modules, leaf = path[2:-1] or ("classifier",), path[-1]
    if modules[0] in OUTSIDE_BLOCKS:
        layer = OUTSIDE_BLOCKS[modules[0]][1]
    else:
        block = BLOCKS.index(modules[0])
        layer = f"{f'block_{block}' if block else 'expanded_conv'}_{modules[1].replace('_bn', '_BN')}"
    if modules[-1] == "depthwise":
        return PublishedArray(path, f"{layer}/depthwise_kernel", keras_depthwise_layout)
    return PublishedArray(path, f"{layer}/{KERAS_NORM_NAMES.get(leaf, leaf) if modules[-1].endswith('_bn') else leaf}")


OUTSIDE_BLOCKS = {  # names of the layers outside blocks in torchvision and Keras
    "stem": ("features.0.0", "Conv1"),
    "stem_bn": ("features.0.1", "bn_Conv1"),
    "last": ("features.18.0", "Conv_1"),
    "last_bn": ("features.18.1", "Conv_1_bn"),
    "classifier": ("classifier.1", "predictions"),
}
