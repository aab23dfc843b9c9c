"""Strong augmentation inside a step, on top of the view: what self-training holds predictions constant under."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array, named_key

Perturbation = Literal["noise", "cutout"]


def perturbed(key: Array, inputs: Array, perturbation: Perturbation, strength: Array | float) -> Array:
    """Inputs [n, ...] disturbed by `perturbation`, whose strength is >= 0; 0 leaves them as they are.

    noise: Gaussian, of `strength` standard deviations of all the values of the batch; cutout: in each image a square,
    of `strength` times the shorter side, is painted in the batch's mean value. Its centre is anywhere in the image,
    so that part of it may lie outside (DeVries and Taylor 2017, arXiv:1708.04552).

    Raises:
        UserError: cutout of inputs that are no images [n, h, w, c].
    """
    inputs = inputs.astype(jnp.result_type(float))  # x64 makes whole runs double
    if perturbation == "noise":
        return inputs + strength * inputs.std() * jax.random.normal(key, inputs.shape, inputs.dtype)
    if inputs.ndim != 4:
        raise UserError(
            f"cutout is for images [n, h, w, c], not inputs {list(inputs.shape)}: take perturbation = 'noise'"
        )
    return jnp.where(_squares(key, inputs.shape[:3], strength), inputs.mean(), inputs)


def _squares(key: Array, shape: tuple[int, ...], strength: Array | float) -> Array:
    n, height, width = shape
    half = strength * min(height, width) / 2
    down = jax.random.uniform(named_key(key, "down"), (n, 1, 1, 1), maxval=float(height))
    along = jax.random.uniform(named_key(key, "along"), (n, 1, 1, 1), maxval=float(width))
    rows, columns = jnp.arange(height)[None, :, None, None] + 0.5, jnp.arange(width)[None, None, :, None] + 0.5
    return (jnp.abs(rows - down) < half) & (jnp.abs(columns - along) < half)
