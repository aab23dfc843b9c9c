"""Euclidean norms whose gradients stay finite."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def norm(x: Array) -> Array:
    """Euclidean norms [...] of x [..., d]; the gradient at 0 is 0, where it has none.

    Entries are divided by the largest before they are squared, so that neither huge nor tiny ones are lost.
    """
    largest = jax.lax.stop_gradient(jnp.abs(x).max(axis=-1, keepdims=True))
    scale = jnp.where(largest > 0, largest, 1.0)
    squares = jnp.sum((x / scale) ** 2, axis=-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0) * scale[..., 0]
