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

SMALL = 71  # pixels, as Keras has it

# widths of the separable convolutions, by block as Keras counts them
BLOCKS = {2: (128, 128), 3: (256, 256), 4: (728, 728), **dict.fromkeys(range(5, 13), (728,) * 3), 13: (728, 1024)}
LAST = 14, (1536, 2048)
HALVED = (2, 3, 4, 13)  # these halve the maps and have a convolution in their shortcut


class Details(NamedTuple):
    """Of batch normalisation, the momentum in flax' sense; of the pooling at the end of a block, the border."""

    epsilon: float
    momentum: float
    border: str | tuple[tuple[int, int], ...]


# before maps of even size "SAME" has no border
LIBRARIES: Registry[Details] = Registry("library of xception")
LIBRARIES.add("keras", Details(1e-3, 0.99, "SAME"))
LIBRARIES.add("timm", Details(1e-5, 0.9, ((1, 1), (1, 1))))


@register
class Xception(Backbone):
    """Xception (Chollet, CVPR 2017): 2048 features of images of 299x299 pixels, 71x71 at least.

    library: whose network it is where Keras' and timm's ("legacy_xception") differ, in epsilon and momentum of batch
    normalisation and the border of pooling. A file of the one is no file of the other. dropout: of the features in
    training, by default none as in both; the paper trained with 0.5.
    References: arXiv:1610.02357, Figure 5.
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
        """See `Backbone`; Keras numbers the layers of shortcuts in the order in which it makes them.

        Raises:
            UserError: the convention is that of the other library.
        """
        self.check_library(convention)
        return _of_keras() if convention == "keras" else _of_timm()


def _of_keras() -> Iterator[PublishedArray]:
    for i in (1, 2):
        yield PublishedArray(("params", "trunk", "block01", f"conv{i}", "kernel"), f"block1_conv{i}/kernel")
        yield from keras_batch_norm(("trunk", "block01", f"conv{i}_bn"), f"block1_conv{i}_bn")
    for block, widths in (*BLOCKS.items(), LAST):
        for i in range(1, len(widths) + 1):
            ours, name = ("trunk", f"block{block:02}", f"sepconv{i}"), f"block{block}_sepconv{i}"
            yield PublishedArray(
                ("params", *ours, "depthwise", "kernel"), f"{name}/depthwise_kernel", keras_depthwise_layout
            )
            yield PublishedArray(("params", *ours, "pointwise", "kernel"), f"{name}/pointwise_kernel")
            yield from keras_batch_norm((*ours[:-1], f"sepconv{i}_bn"), f"{name}_bn")
    for i, block in enumerate(HALVED):
        ours = "trunk", f"block{block:02}", "shortcut"
        yield PublishedArray(("params", *ours, "kernel"), f"{keras_layer_name('conv2d', i)}/kernel")
        yield from keras_batch_norm((*ours[:-1], "shortcut_bn"), keras_layer_name("batch_normalization", i))
    yield from keras_linear(("head",), "predictions")


def _of_timm() -> Iterator[PublishedArray]:
    """There blocks count from the first with a shortcut, and layers within them by place, ReLU and all."""
    for i in (1, 2):
        yield from torch_convolution(("trunk", "block01", f"conv{i}"), f"conv{i}")
        yield from torch_batch_norm(("trunk", "block01", f"conv{i}_bn"), f"bn{i}")
    for block, widths in BLOCKS.items():
        first = 0 if block == 2 else 1  # the first block begins without ReLU
        for i in range(len(widths)):
            yield from _separable(block, i + 1, *(f"block{block - 1}.rep.{first + 3 * i + j}" for j in (0, 1)))
    for i in (1, 2):
        yield from _separable(LAST[0], i, f"conv{i + 2}", f"bn{i + 2}")
    for block in HALVED:
        yield from torch_convolution(("trunk", f"block{block:02}", "shortcut"), f"block{block - 1}.skip")
        yield from torch_batch_norm(("trunk", f"block{block:02}", "shortcut_bn"), f"block{block - 1}.skipbn")
    yield from torch_linear(("head",), "fc")


def _separable(block: int, place: int, convolution: str, norm: str) -> Iterator[PublishedArray]:
    ours = "trunk", f"block{block:02}", f"sepconv{place}"
    yield from torch_convolution((*ours, "depthwise"), f"{convolution}.conv1")
    yield from torch_convolution((*ours, "pointwise"), f"{convolution}.pointwise")
    yield from torch_batch_norm((*ours[:-1], f"sepconv{place}_bn"), norm)


class Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 2048]: entry, middle and exit flow, the mean over all places."""

    details: Details
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, 2048].

        Raises:
            ValueError: the inputs are no images, or smaller than 71x71.
        """
        if inputs.ndim != 4 or min(inputs.shape[1:3]) < SMALL:
            raise ValueError(f"it takes images [n, h, w, c] of {SMALL}x{SMALL} pixels at least")
        maps = Entry(self.details, name="block01")(inputs, train)
        for block, widths in BLOCKS.items():
            module = Residual(widths, block in HALVED, block > 2, self.details, name=f"block{block:02}")
            maps = module(maps, train)
        maps = Exit(LAST[1], self.details, name=f"block{LAST[0]}")(maps, train)
        return nn.Dropout(self.dropout)(maps.mean(axis=(1, 2)), deterministic=not train)


class Entry(nn.Module):
    """Two plain convolutions, without padding."""

    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, h', w', 64]."""
        for i, (features, stride) in enumerate(((32, 2), (64, 1)), 1):
            maps = nn.Conv(features, (3, 3), stride, "VALID", use_bias=False, name=f"conv{i}")(maps)
            maps = nn.relu(norm(self.details, train, f"conv{i}_bn")(maps))
        return maps


class Residual(nn.Module):
    """Separable convolutions with ReLU before each, or each but the first, and a shortcut around them."""

    widths: tuple[int, ...]
    halved: bool
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
        if not self.halved:
            return maps + shortcut
        shortcut = nn.Conv(self.widths[-1], (1, 1), 2, "VALID", use_bias=False, name="shortcut")(shortcut)
        pooled = nn.max_pool(maps, (3, 3), (2, 2), self.details.border)
        return pooled + norm(self.details, train, "shortcut_bn")(shortcut)


class Exit(nn.Module):
    """Separable convolutions with ReLU after each, and no shortcut."""

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
    """A 3x3 convolution of each channel by itself, then a 1x1 of all; no bias."""

    width: int

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """[n, h, w, c] -> [n, h, w, width]."""
        channels, border = maps.shape[-1], ((1, 1), (1, 1))
        each = nn.Conv(channels, (3, 3), 1, border, feature_group_count=channels, use_bias=False, name="depthwise")
        return nn.Conv(self.width, (1, 1), use_bias=False, name="pointwise")(each(maps))


def norm(details: Details, train: bool, name: str) -> nn.BatchNorm:
    """Batch normalisation, within a module."""
    return nn.BatchNorm(not train, momentum=details.momentum, epsilon=details.epsilon, name=name)
