"""Inception-v3."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from da_bench.core.config import Registry
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.weight_names import (
    PublishedArray,
    keras_batch_norm,
    keras_layer_name,
    keras_linear,
    torch_batch_norm,
    torch_convolution,
    torch_linear,
)


class Details(NamedTuple):
    """Differences between the published networks.

    Attributes:
        momentum: of running statistics, in flax' sense: the fraction that is kept in a step.
        scaled: whether batch normalisation has a scale.
        border: whether average pooling counts the zeros at the border.
    """

    momentum: float
    scaled: bool
    border: bool


LIBRARIES: Registry[Details] = Registry("library of inception_v3")
LIBRARIES.add("torchvision", Details(0.9, scaled=True, border=True))
LIBRARIES.add("keras", Details(0.99, scaled=False, border=False))
MIN_SIDE = 75  # pixels; the last reduction leaves nothing of smaller images


class Unit(NamedTuple):
    """Convolution without bias, batch normalisation and ReLU.

    Attributes:
        name: of the module, as in torchvision.
        features: output channels.
        size: rows and columns of the kernel.
        stride: of the convolution.
        padded: whether zeros are added so that stride 1 keeps the size; else none are.
    """

    name: str
    features: int
    size: tuple[int, int]
    stride: int = 1
    padded: bool = True


Pool = Literal["average", "maximum"]
# layers in sequence; units in an inner tuple are side by side, their maps concatenated
Branch = tuple[Unit | Pool | tuple[Unit, ...], ...]
Block = tuple[Branch, ...]  # branches side by side, their maps concatenated


def _chain(name: str, *layers: tuple[int, tuple[int, int]]) -> tuple[Unit, ...]:
    return tuple(Unit(f"{name}_{i}", *layer) for i, layer in enumerate(layers, 1))


def _fork(name: str) -> tuple[Unit, ...]:
    return Unit(f"{name}a", 384, (1, 3)), Unit(f"{name}b", 384, (3, 1))


def _a(pooled: int) -> Block:
    """Block for 35x35 maps, Figure 5 of the paper."""
    return (
        (Unit("branch1x1", 64, (1, 1)),),
        _chain("branch5x5", (48, (1, 1)), (64, (5, 5))),
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        ("average", Unit("branch_pool", pooled, (1, 1))),
    )


def _c(inner: int) -> Block:
    """Block for 17x17 maps, Figure 6 of the paper."""
    row, column = (1, 7), (7, 1)
    short = (inner, (1, 1)), (inner, row), (192, column)
    long = (inner, (1, 1)), (inner, column), (inner, row), (inner, column), (192, row)
    return (
        (Unit("branch1x1", 192, (1, 1)),),
        _chain("branch7x7", *short),
        _chain("branch7x7dbl", *long),
        ("average", Unit("branch_pool", 192, (1, 1))),
    )


# blocks that halve the maps, Figure 10
B: Block = (
    (Unit("branch3x3", 384, (3, 3), 2, padded=False),),
    (
        *_chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3))),
        Unit("branch3x3dbl_3", 96, (3, 3), 2, padded=False),
    ),
    ("maximum",),
)
D: Block = (
    (Unit("branch3x3_1", 192, (1, 1)), Unit("branch3x3_2", 320, (3, 3), 2, padded=False)),
    (
        *_chain("branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1))),
        Unit("branch7x7x3_4", 192, (3, 3), 2, padded=False),
    ),
    ("maximum",),
)
# blocks for 8x8 maps, Figure 7
E: Block = (
    (Unit("branch1x1", 320, (1, 1)),),
    (Unit("branch3x3_1", 384, (1, 1)), _fork("branch3x3_2")),
    (*_chain("branch3x3dbl", (448, (1, 1)), (384, (3, 3))), _fork("branch3x3dbl_3")),
    ("average", Unit("branch_pool", 192, (1, 1))),
)
STEM: Branch = (
    Unit("Conv2d_1a_3x3", 32, (3, 3), 2, padded=False),
    Unit("Conv2d_2a_3x3", 32, (3, 3), padded=False),
    Unit("Conv2d_2b_3x3", 64, (3, 3)),
    "maximum",
    Unit("Conv2d_3b_1x1", 80, (1, 1)),
    Unit("Conv2d_4a_3x3", 192, (3, 3), padded=False),
    "maximum",
)
BLOCKS: dict[str, Block] = {
    "Mixed_5b": _a(32),
    "Mixed_5c": _a(64),
    "Mixed_5d": _a(64),
    "Mixed_6a": B,
    "Mixed_6b": _c(128),
    "Mixed_6c": _c(160),
    "Mixed_6d": _c(160),
    "Mixed_6e": _c(192),
    "Mixed_7a": D,
    "Mixed_7b": E,
    "Mixed_7c": E,
}


@register
class InceptionV3(Backbone):
    """Inception-v3 for images of 299x299 pixels, at least 75x75; 2048 features. Without the auxiliary classifier.

    Attributes:
        library: whose network it is; files of one library cannot be used for the other. "torchvision": average pooling
            counts zeros at the border, batch normalisation has a scale, running statistics keep 0.9 a step. "keras":
            average pooling does not count them, no scale, 0.99.
        dropout: rate of the features in training; Keras' network has none.

    References: Szegedy et al., CVPR 2016. arXiv:1512.00567, Table 1.
    """

    SIDE: ClassVar[int] = 299
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "timm", "keras")
    FIELDS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"keras": {"library": "keras"}}
    IGNORED: ClassVar[tuple[str, ...]] = ("AuxLogits.",)
    STAGES: ClassVar[tuple[str, ...]] = ("Conv2d_1", "Conv2d_2", "Conv2d_3", "Conv2d_4", *BLOCKS)

    library: str = "torchvision"
    dropout: float = 0.5

    def make_trunk(self) -> nn.Module:
        """[n, h, w, 3] -> [n, 2048]."""
        return Trunk(LIBRARIES[self.library], self.dropout)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. Keras numbers its layers in the order in which it creates them.

        Raises:
            UserError: the convention is the other library's.
        """
        self.check_library(convention)
        return self._keras_arrays() if convention == "keras" else self._torch_arrays()

    def _torch_arrays(self) -> Iterator[PublishedArray]:
        for unit in unit_paths():
            yield from torch_convolution(("trunk", *unit, "conv"), ".".join((*unit, "conv")))
            yield from torch_batch_norm(("trunk", *unit, "bn"), ".".join((*unit, "bn")))
        yield from torch_linear(("head",), "fc")

    def _keras_arrays(self) -> Iterator[PublishedArray]:
        for i, unit in enumerate(unit_paths()):
            yield PublishedArray(
                ("params", "trunk", *unit, "conv", "kernel"), f"{keras_layer_name('conv2d', i)}/kernel"
            )
            yield from keras_batch_norm(
                ("trunk", *unit, "bn"), keras_layer_name("batch_normalization", i), scaled=False
            )
        yield from keras_linear(("head",), "predictions")


def unit_paths() -> Iterator[tuple[str, ...]]:
    """Path of every unit within the trunk, in the order in which Keras creates them."""
    yield from ((unit.name,) for unit in STEM if isinstance(unit, Unit))
    for name, block in BLOCKS.items():
        layers = [layer for branch in block for layer in branch]
        for layer in layers:
            side_by_side = (layer,) if isinstance(layer, Unit) else () if isinstance(layer, str) else layer
            yield from ((name, unit.name) for unit in side_by_side)


class Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 2048]: stem, blocks, mean over all positions."""

    details: Details
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, 2048].

        Raises:
            ValueError: the inputs are not images of at least 75x75 pixels.
        """
        if inputs.ndim != 4 or min(inputs.shape[1:3]) < MIN_SIDE:
            raise ValueError(f"it needs images [n, h, w, c] of at least {MIN_SIDE}x{MIN_SIDE} pixels")
        maps = inputs
        for layer in STEM:
            maps = apply(layer, maps, self.details, train)
        for name, block in BLOCKS.items():
            maps = Mixed(block, self.details, name=name)(maps, train)
        return nn.Dropout(self.dropout)(maps.mean(axis=(1, 2)), deterministic=not train)


class Mixed(nn.Module):
    """One block: branches side by side, their maps concatenated."""

    block: Block
    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', c']."""
        outputs = []
        for branch in self.block:
            output = maps
            for layer in branch:
                output = apply(layer, output, self.details, train)
            outputs.append(output)
        return jnp.concatenate(outputs, axis=-1)


class Convolution(nn.Module):
    """The module that a `Unit` describes."""

    unit: Unit
    details: Details

    @nn.compact
    def __call__(self, maps: Array, train: bool) -> Array:
        """[n, h, w, c] -> [n, h', w', features]."""
        _, features, size, stride, padded = self.unit
        padding = [(side // 2, side // 2) if padded else (0, 0) for side in size]
        maps = nn.Conv(features, size, stride, padding, use_bias=False, name="conv")(maps)
        momentum, scaled, _ = self.details
        norm = nn.BatchNorm(not train, momentum=momentum, epsilon=1e-3, use_scale=scaled, name="bn")
        return nn.relu(norm(maps))


def apply(layer: Unit | Pool | tuple[Unit, ...], maps: Array, details: Details, train: bool) -> Array:
    """Apply one layer of a branch, [n, h, w, c] -> [n, h', w', c'], within the module that holds the parameters."""
    if layer == "maximum":
        return nn.max_pool(maps, (3, 3), (2, 2))
    if layer == "average":
        padding = ((1, 1), (1, 1))
        return nn.avg_pool(maps, (3, 3), (1, 1), padding, count_include_pad=details.border)
    if isinstance(layer, Unit):
        return Convolution(layer, details, name=layer.name)(maps, train)
    return jnp.concatenate([apply(unit, maps, details, train) for unit in layer], axis=-1)
