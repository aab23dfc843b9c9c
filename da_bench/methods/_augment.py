"""Strong augmentation inside a step, on top of the view, for methods that make predictions robust against it."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array, named_key

Perturbation = Literal["noise", "cutout"]


def perturb(key: Array, inputs: Array, perturbation: Perturbation, strength: Array | float) -> Array:
    """Return the inputs with a random perturbation of every row.

    Args:
        key: source of randomness.
        inputs: [n, ...].
        perturbation: "noise" adds Gaussian noise; "cutout" paints a square of each image in the mean value of the
            batch. The square's centre is anywhere in the image, so part of the square may lie outside.
        strength: >= 0; 0 leaves the inputs unchanged. For "noise", in standard deviations of all values of the batch;
            for "cutout", the side of the square as a share of the image's shorter side.

    Raises:
        UserError: "cutout" of inputs that are not images [n, h, w, c].

    References:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
        arXiv:1708.04552.
    """
    inputs = inputs.astype(jnp.result_type(float))  # x64 makes whole runs double
    if perturbation == "noise":
        return inputs + strength * inputs.std() * jax.random.normal(key, inputs.shape, inputs.dtype)
    if inputs.ndim != 4:
        raise UserError(
            f"perturbation = 'cutout' needs images [n, h, w, c], and these inputs are {list(inputs.shape)}; "
            "use perturbation = 'noise'"
        )
    return jnp.where(_random_squares(key, inputs.shape[:3], strength), inputs.mean(), inputs)


def _random_squares(key: Array, shape: tuple[int, ...], strength: Array | float) -> Array:
    """[n, h, w, 1] bool: the pixels of one random square per image."""
    n, height, width = shape
    half_side = strength * min(height, width) / 2
    centre_row = jax.random.uniform(named_key(key, "down"), (n, 1, 1, 1), maxval=float(height))
    centre_column = jax.random.uniform(named_key(key, "along"), (n, 1, 1, 1), maxval=float(width))
    rows, columns = jnp.arange(height)[None, :, None, None] + 0.5, jnp.arange(width)[None, None, :, None] + 0.5
    return (jnp.abs(rows - centre_row) < half_side) & (jnp.abs(columns - centre_column) < half_side)
