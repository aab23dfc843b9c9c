"""Norms, distances and cosines of vectors, with finite gradients everywhere."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def norm(x: Array) -> Array:
    """Euclidean norm along the last axis. Its gradient at zero, where none exists, is defined as 0.

    Entries are divided by the largest before they are squared, so neither huge nor tiny entries overflow or vanish.

    Args:
        x: [..., d].

    Returns:
        [...].
    """
    largest = jax.lax.stop_gradient(jnp.abs(x).max(axis=-1, keepdims=True))
    scale = jnp.where(largest > 0, largest, 1.0)
    squares = jnp.sum((x / scale) ** 2, axis=-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0) * scale[..., 0]


def normalise_rows(features: Array) -> Array:
    """Divide every row of features [n, d] by its Euclidean norm; rows of zeros stay zero."""
    length = norm(features)
    return features / jnp.where(length > 0, length, 1.0)[:, None]


def squared_distances(x: Array, y: Array) -> Array:
    """Squared Euclidean distance, never negative, between every row of one matrix and every row of another.

    Args:
        x: [n, d].
        y: [m, d].

    Returns:
        [n, m].
    """
    cross = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None, :] - 2 * cross, 0.0)


def cosine_similarity(x: Array, y: Array) -> Array:
    """Cosine of the angle between every row of one matrix and every row of another; 0 for rows of zeros.

    Args:
        x: [n, d].
        y: [m, d].

    Returns:
        [n, m] values in [-1, 1].
    """
    return jnp.matmul(normalise_rows(x), normalise_rows(y).T, precision="highest")
