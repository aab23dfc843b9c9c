"""Xception."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn

from da_bench.core.config import Registry
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.weight_names import (
    PublishedArray,
    keras_batch_norm,
    keras_depthwise_layout,
    keras_layer_name,
    keras_linear,
    torch_batch_norm,
    torch_convolution,
    torch_linear,
)

MIN_SIDE = 71  # pixels, as in Keras

# widths of the separable convolutions by block, in Keras' count
BLOCKS = {2: (128, 128), 3: (256, 256), 4: (728, 728), **dict.fromkeys(range(5, 13), (728,) * 3), 13: (728, 1024)}
LAST = 14, (1536, 2048)
DOWNSAMPLING = (2, 3, 4, 13)  # blocks that halve the maps and have a convolution in their shortcut


class Details(NamedTuple):
    """Differences between the published networks.

    Attributes:
        epsilon: of batch normalisation.
        momentum: of batch normalisation, in flax' sense: the fraction that is kept in a step.
        border: padding of the pooling at the end of a block.
    """

    epsilon: float
    momentum: float
    border: str | tuple[tuple[int, int], ...]


# before maps of even size "SAME" has no border
LIBRARIES: Registry[Details] = Registry("library of xception")
LIBRARIES.add("keras", Details(1e-3, 0.99, "SAME"))
LIBRARIES.add("timm", Details(1e-5, 0.9, ((1, 1), (1, 1))))


@register
class Xception(Backbone):
    """Xception for images of 299x299 pixels, at least 71x71; 2048 features.

    Attributes:
        library: whose network it is; files of one library cannot be used for the other. "keras" and "timm" (its
            "legacy_xception") differ in epsilon and momentum of batch normalisation and in the border of pooling.
        dropout: rate of the features in training. Default as in both libraries; the paper trained with 0.5.

    References: Chollet, CVPR 2017. arXiv:1610.02357, Figure 5.
    """

    SIDE: ClassVar[int] = 299
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("keras", "timm")
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"timm": {"library": "timm"}}
    STAGES: ClassVar[tuple[str, ...]] = tuple(f"block{i:02}" for i in range(1, 15))

    library: str = "keras"
    dropout: float = 0.0

    def make_trunk(self) -> nn.Module:
        """[n, h, w, 3] -> [n, 2048]."""
        return Trunk(LIBRARIES[self.library], self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. Keras numbers the layers of shortcuts in the order in which it creates them.

        Raises:
            UserError: the convention is the other library's.
        """
        self.check_library(convention)
        return _keras_arrays() if convention == "keras" else _timm_arrays()


def _keras_arrays() -> Iterator[PublishedArray]:
    for i in (1, 2):
        yield PublishedArray(("params", "trunk", "block01", f"conv{i}", "kernel"), f"block1_conv{i}/kernel")
        yield from keras_batch_norm(("trunk", "block01", f"conv{i}_bn"), f"block1_conv{i}_bn")
    for block, widths in (*BLOCKS.items(), LAST):
        for i in range(1, len(widths) + 1):
            layer, name = ("trunk", f"block{block:02}", f"sepconv{i}"), f"block{block}_sepconv{i}"
            yield PublishedArray(
                ("params", *layer, "depthwise", "kernel"), f"{name}/depthwise_kernel", keras_depthwise_layout
            )
            yield PublishedArray(("params", *layer, "pointwise", "kernel"), f"{name}/pointwise_kernel")
            yield from keras_batch_norm((*layer[:-1], f"sepconv{i}_bn"), f"{name}_bn")
    for i, block in enumerate(DOWNSAMPLING):
        layer = "trunk", f"block{block:02}", "shortcut"
        yield PublishedArray(("params", *layer, "kernel"), f"{keras_layer_name('conv2d', i)}/kernel")
        yield from keras_batch_norm((*layer[:-1], "shortcut_bn"), keras_layer_name("batch_normalization", i))
    yield from keras_linear(("head",), "predictions")


def _timm_arrays() -> Iterator[PublishedArray]:
    """timm counts blocks from the first with a shortcut, and layers within a block by position, including ReLU."""
    for i in (1, 2):
        yield from torch_convolution(("trunk", "block01", f"conv{i}"), f"conv{i}")
        yield from torch_batch_norm(("trunk", "block01", f"conv{i}_bn"), f"bn{i}")
    for block, widths in BLOCKS.items():
        first = 0 if block == 2 else 1  # block 2 does not begin with ReLU
        for i in range(len(widths)):
            yield from _timm_separable(block, i + 1, *(f"block{block - 1}.rep.{first + 3 * i + j}" for j in (0, 1)))
    for i in (1, 2):
        yield from _timm_separable(LAST[0], i, f"conv{i + 2}", f"bn{i + 2}")
    for block in DOWNSAMPLING:
        yield from torch_convolution(("trunk", f"block{block:02}", "shortcut"), f"block{block - 1}.skip")
        yield from torch_batch_norm(("trunk", f"block{block:02}", "shortcut_bn"), f"block{block - 1}.skipbn")
    yield from torch_linear(("head",), "fc")


def _timm_separable(block: int, index: int, convolution: str, norm: str) -> Iterator[PublishedArray]:
    layer = "trunk", f"block{block:02}", f"sepconv{index}"
    yield from torch_convolution((*layer, "depthwise"), f"{convolution}.conv1")
    yield from torch_convolution((*layer, "pointwise"), f"{convolution}.pointwise")
    yield from torch_batch_norm((*layer[:-1], f"sepconv{index}_bn"), norm)


class Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 2048]: entry, middle and exit flow, mean over all positions."""

    details: Details
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, 2048].

        Raises:
            ValueError: the inputs are not images of at least 71x71 pixels.
        """
        if inputs.ndim != 4 or min(inputs.shape[1:3]) < MIN_SIDE:
            raise ValueError(f"it needs images [n, h, w, c] of at least {MIN_SIDE}x{MIN_SIDE} pixels")
        maps = Entry(self.details, name="block01")(inputs, train)
        for block, widths in BLOCKS.items():
            module = Residual(widths, block in DOWNSAMPLING, block > 2, self.details, name=f"block{block:02}")
            maps = module(maps, train)
        maps = Exit(LAST[1], self.details, name=f"block{LAST[0]}")(maps, train)
        return nn.Dropout(self.dropout)(maps.mean(axis=(1, 2)), deterministic=not train)


class Entry(nn.Module):
    """Entry of the network: two plain convolutions without padding."""

    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, h', w', 64]."""
        for i, (features, stride) in enumerate(((32, 2), (64, 1)), 1):
            maps = nn.Conv(features, (3, 3), stride, "VALID", use_bias=False, name=f"conv{i}")(maps)
            maps = nn.relu(norm(self.details, train, f"conv{i}_bn")(maps))
        return maps


class Residual(nn.Module):
    """Block of separable convolutions, ReLU before each, and a shortcut around them.

    Attributes:
        widths: output channels of the convolutions.
        downsample: whether maps are halved at the end.
        begins_with_relu: whether there is ReLU before the first convolution too.
        details: differences between the published networks.
    """

    widths: tuple[int, ...]
    downsample: bool
    begins_with_relu: bool
    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', widths[-1]]."""
        shortcut = maps
        for i, width in enumerate(self.widths, 1):
            maps = nn.relu(maps) if i > 1 or self.begins_with_relu else maps
            maps = Separable(width, name=f"sepconv{i}")(maps)
            maps = norm(self.details, train, f"sepconv{i}_bn")(maps)
        if not self.downsample:
            return maps + shortcut
        shortcut = nn.Conv(self.widths[-1], (1, 1), 2, "VALID", use_bias=False, name="shortcut")(shortcut)
        pooled = nn.max_pool(maps, (3, 3), (2, 2), self.details.border)
        return pooled + norm(self.details, train, "shortcut_bn")(shortcut)


class Exit(nn.Module):
    """Exit of the network: separable convolutions with ReLU after each, without shortcut."""

    widths: tuple[int, ...]
    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h, w, widths[-1]]."""
        for i, width in enumerate(self.widths, 1):
            maps = Separable(width, name=f"sepconv{i}")(maps)
            maps = nn.relu(norm(self.details, train, f"sepconv{i}_bn")(maps))
        return maps


class Separable(nn.Module):
    """Separable convolution: 3x3 of each channel by itself, then 1x1 of all channels; no bias."""

    width: int

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """[n, h, w, c] -> [n, h, w, width]."""
        channels, padding = maps.shape[-1], ((1, 1), (1, 1))
        depthwise = nn.Conv(
            channels, (3, 3), 1, padding, feature_group_count=channels, use_bias=False, name="depthwise"
        )
        return nn.Conv(self.width, (1, 1), use_bias=False, name="pointwise")(depthwise(maps))


def norm(details: Details, train: bool, name: str) -> nn.BatchNorm:
    """Batch normalisation, to be called within a module."""
    return nn.BatchNorm(not train, momentum=details.momentum, epsilon=details.epsilon, name=name)
