"""What one layer's arrays are called in the files that others publish, and how they lie there.

A `layer` is its path from the trunk or the head on, ("trunk", "block01", "conv1"); `name` is the file's own for it.
"""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from da_bench.models.backbone import Published, in_torch

Layer = tuple[str, ...]
AUTOMATIC = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?$")  # Keras' names for layers that were given none


def depthwise(array: np.ndarray) -> np.ndarray:
    """Keras' [h, w, c, 1] -> [h, w, 1, c]."""
    return array.transpose(0, 1, 3, 2)


def torch_convolution(layer: Layer, name: str) -> Iterator[Published]:
    """A convolution without bias."""
    yield in_torch(("params", *layer, "kernel"), name)


def torch_linear(layer: Layer, name: str) -> Iterator[Published]:
    """A linear map with bias."""
    yield in_torch(("params", *layer, "kernel"), name)
    yield in_torch(("params", *layer, "bias"), name)


def torch_norm(layer: Layer, name: str) -> Iterator[Published]:
    """Scale and shift of any normalisation."""
    yield in_torch(("params", *layer, "scale"), name)
    yield in_torch(("params", *layer, "bias"), name)


def torch_batch_norm(layer: Layer, name: str) -> Iterator[Published]:
    """Scale, shift and running statistics."""
    yield from torch_norm(layer, name)
    yield in_torch(("batch_stats", *layer, "mean"), name)
    yield in_torch(("batch_stats", *layer, "var"), name)


def keras_linear(layer: Layer, name: str) -> Iterator[Published]:
    """A linear map with bias."""
    yield Published(("params", *layer, "kernel"), f"{name}/kernel")
    yield Published(("params", *layer, "bias"), f"{name}/bias")


def keras_batch_norm(layer: Layer, name: str, scaled: bool = True) -> Iterator[Published]:
    """Shift, running statistics and, where it is `scaled`, the scale."""
    if scaled:
        yield Published(("params", *layer, "scale"), f"{name}/gamma")
    yield Published(("params", *layer, "bias"), f"{name}/beta")
    yield Published(("batch_stats", *layer, "mean"), f"{name}/moving_mean")
    yield Published(("batch_stats", *layer, "var"), f"{name}/moving_variance")


def numbered(kind: str, place: int) -> str:
    """What a fresh Keras session calls the layer of a kind that it makes in this place: conv2d, conv2d_1, ..."""
    return f"{kind}_{place}" if place else kind


def as_in_a_fresh_session(layers: Iterable[str]) -> dict[str, str]:
    """The layers of a Keras file -> what a fresh session would call them; others keep their names.

    A session goes on counting from network to network, and early versions counted from 1, so of an automatic name only
    the order within its kind says which layer it is.
    """
    names: dict[str, str] = {}
    places: dict[str, int] = {}
    for layer in sorted(layers, key=_place):
        found = AUTOMATIC.match(layer)
        kind = found[1] if found else layer
        places[kind] = places.get(kind, -1) + 1
        names[layer] = numbered(kind, places[kind]) if found else layer
    return names


def _place(layer: str) -> tuple[int, str]:
    found = AUTOMATIC.match(layer)
    return (int(found[2] or 0), layer) if found else (0, layer)
