"""Estimate statistics of batch normalisation for files that have none because they were folded into convolutions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.trees import KeyPath, unflatten
from da_bench.core.types import Array, Tree
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import batch_norm_inputs
from da_bench.models.backbone import Backbone
from da_bench.pretrained.convert import Arrays
from da_bench.pretrained.example_images import BATCH_SIZE, batches

MAX_IMAGES = 512  # chosen at equal distances if there are more
COLLECTIONS = {"scale": "params", "bias": "params", "mean": "batch_stats", "var": "batch_stats"}
Moments = dict[KeyPath, tuple[Array, Array]]  # by layer: mean and mean square [channels] of a normalisation's input


def calibrate_batch_norm(
    model: Backbone, arrays: Mapping[KeyPath, np.ndarray], view: View, files: Sequence[Path]
) -> Arrays:
    """Give every batch normalisation the statistics of its inputs for some images, without changing its map.

    In evaluation a normalisation is the map a x + c of each channel, with a = scale / sqrt(variance + epsilon) and
    c = bias - mean a. For statistics m and v it is the same map with scale = a sqrt(v + epsilon) and bias = c + a m. So
    evaluation stays as it was. Training uses the statistics of a batch and starts from nearly the same function.

    Args:
        model: the network.
        arrays: its arrays by path.
        view: how images are prepared.
        files: image files; at most `MAX_IMAGES` are used.

    Returns:
        All arrays by path, those of batch normalisations changed.

    Raises:
        UserError: an image cannot be read, or there are fewer than one batch.
    """
    if len(files) < BATCH_SIZE:
        raise UserError(
            f"{len(files)} images are too few for statistics of batch normalisation: give {BATCH_SIZE} or more"
        )
    count = min(MAX_IMAGES, len(files)) // BATCH_SIZE * BATCH_SIZE
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, count).astype(int)]
    stats = unflatten(arrays)
    params = stats.pop("params")
    epsilons: dict[KeyPath, float] = {}
    observe = jax.jit(lambda p, s, x: _input_moments(model, p, s, evaluation_input(view, x), epsilons))
    moments = _average(observe(params, stats, images) for images in batches(view, chosen))
    calibrated = dict(arrays)
    for layer, (mean, square) in moments.items():
        calibrated |= _replace_statistics(layer, arrays, mean, square - mean**2, epsilons[layer])
    return calibrated


def _input_moments(
    model: Backbone, params: Tree, stats: Tree, inputs: Array, epsilons: dict[KeyPath, float]
) -> Moments:
    """Moments of the inputs of all batch normalisations for one batch. Their epsilons are stored in `epsilons`."""
    moments: Moments = {}
    for layer, (entering, epsilon) in batch_norm_inputs(model, params, stats, inputs).items():
        rows = entering.reshape(-1, entering.shape[-1])
        moments[layer] = rows.mean(axis=0), (rows**2).mean(axis=0)
        epsilons[layer] = epsilon
    return moments


def _average(batch_moments: Iterable[Moments]) -> dict[KeyPath, tuple[np.ndarray, np.ndarray]]:
    """Average moments over batches of equal size, in float64."""
    trees = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), moments) for moments in batch_moments]
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0), *trees)


def _replace_statistics(
    layer: KeyPath, arrays: Mapping[KeyPath, np.ndarray], new_mean: np.ndarray, new_variance: np.ndarray, epsilon: float
) -> Arrays:
    """Arrays of the layer that compute the same map with other statistics."""
    paths = [(collection, *layer, name) for name, collection in COLLECTIONS.items()]
    scale, bias, mean, variance = (arrays[path].astype(np.float64) for path in paths)
    slope = scale / np.sqrt(variance + epsilon)
    new_scale, new_bias = slope * np.sqrt(new_variance + epsilon), bias - mean * slope + slope * new_mean
    values = (new_scale, new_bias, new_mean, new_variance)
    return {path: np.asarray(value, np.float32) for path, value in zip(paths, values, strict=True)}
