"""Statistics for batch normalisation that a file has without them, as it was made part of the convolutions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.trees import unflatten
from da_bench.core.types import Array, Tree
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import forward
from da_bench.models.backbone import Backbone
from da_bench.pretrained.convert import Paths
from da_bench.pretrained.example_images import BATCH_SIZE, batches

MOST = 512  # images, evenly spread over those that there are
Moments = dict[tuple[str, ...], tuple[Array, Array]]  # of what enters a normalisation: means and squares [channels]


def calibrate_batch_norm(
    model: Backbone, arrays: Mapping[tuple[str, ...], np.ndarray], view: View, files: Sequence[Path]
) -> Paths:
    """The arrays, batch normalisation with the statistics of its inputs for the images `files`.

    A normalisation is the map a x + c of each channel, a = scale / sqrt(variance + epsilon), c = bias - mean a. With
    other statistics m, v it is the same map if scale = a sqrt(v + epsilon), bias = c + a m: evaluation stays as it
    was, and training, which takes the statistics of a batch, goes on from nearly the same function.

    Raises:
        UserError: an image cannot be read, or there are fewer than fill one batch.
    """
    if len(files) < BATCH_SIZE:
        raise UserError(
            f"{len(files)} images are too few for statistics of batch normalisation: give {BATCH_SIZE} or more"
        )
    chosen = [
        files[i] for i in np.linspace(0, len(files) - 1, min(MOST, len(files)) // BATCH_SIZE * BATCH_SIZE).astype(int)
    ]
    tree = unflatten(arrays)
    params, stats = tree.pop("params"), tree
    epsilons: dict[tuple[str, ...], float] = {}
    observe = jax.jit(lambda p, s, x: _moments(model, (p, s), evaluation_input(view, x), epsilons))
    found = _mean(observe(params, stats, stored) for stored in batches(view, chosen))
    made = dict(arrays)
    for path, (mean, square) in found.items():
        made |= _with(path, arrays, (mean, square - mean**2), epsilons[path])
    return made


def _moments(
    model: Backbone, weights: tuple[Tree, Tree], inputs: Array, epsilons: dict[tuple[str, ...], float]
) -> Moments:
    """Of one batch; epsilons are noted on the way."""
    import flax.linen as nn

    found: Moments = {}

    def watched(call: Any, arguments: Any, named: Any, context: Any) -> Any:
        if context.method_name == "__call__" and "BatchNorm" in type(context.module).__name__:
            entering = arguments[0].reshape(-1, arguments[0].shape[-1])
            found[context.module.path] = entering.mean(axis=0), (entering**2).mean(axis=0)
            epsilons[context.module.path] = context.module.epsilon
        return call(*arguments, **named)

    with nn.intercept_methods(watched):
        forward(model, *weights, inputs)
    return found


def _mean(each: Iterator[Moments]) -> dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """Over batches of one size."""
    whole = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), one) for one in each]
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *whole)


def _with(
    path: tuple[str, ...], arrays: Mapping[tuple[str, ...], np.ndarray], statistics: tuple[Any, Any], epsilon: float
) -> Paths:
    """The same map with other statistics."""
    places = {name: (kind, *path, name) for name, kind in KINDS.items()}
    scale, bias, mean, variance = (arrays[place].astype(np.float64) for place in places.values())
    slope, (m, v) = scale / np.sqrt(variance + epsilon), statistics
    made = (slope * np.sqrt(v + epsilon), bias - mean * slope + slope * m, m, v)
    return {place: np.asarray(one, np.float32) for place, one in zip(places.values(), made, strict=True)}


KINDS = {"scale": "params", "bias": "params", "mean": "batch_stats", "var": "batch_stats"}
