"""Class centroids and nearest neighbours by cosine similarity."""

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.losses.distances import cosine_similarity, normalise_rows


def centroids(features: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean of the features for every class.

    Args:
        features: [n, d].
        weights: [n, c] weights >= 0 of every row for every class, such as class probabilities.

    Returns:
        [c, d] means (zeros for a class without weight), and [c] bool: whether the class has any weight.
    """
    mass = weights.sum(axis=0)
    sums = jnp.matmul(weights.T, features, precision="highest")
    return sums / jnp.where(mass > 0, mass, 1.0)[:, None], mass > 0


def nearest_centroid(features: Array, centres: Array, present: Array) -> Array:
    """Class whose centroid has the largest cosine similarity with each row.

    Args:
        features: [n, d].
        centres: [c, d] centroids.
        present: [c] bool; only these classes are candidates.

    Returns:
        [n] integers in 0..c-1.
    """
    # the length of a row does not change the order of its similarities, so rows are not normalised
    similarity = jnp.matmul(features, normalise_rows(centres).T, precision="highest")
    return jnp.argmax(jnp.where(present[None, :], similarity, -jnp.inf), axis=1)


def nearest_neighbours(queries: Array, own_rows: Array, bank: Array, filled: Array, count: int) -> tuple[Array, Array]:
    """Rows of a memory bank with the largest cosine similarity, most similar first.

    Args:
        queries: [n, d] features.
        own_rows: [n] row of the bank that belongs to each query; it is not a neighbour of itself.
        bank: [N, d] features.
        filled: [N] bool, whether a row of the bank has been filled; other rows are no neighbours.
        count: neighbours per query, less than N.

    Returns:
        [n, count] rows of the bank, and [n, count] bool: False where the bank has too few filled rows.

    Raises:
        UserError: the bank has no more rows than neighbours are wanted.
    """
    if count >= len(filled):
        raise UserError(f"{count} neighbours of a target row need more than {count} target rows, not {len(filled)}")
    candidate = filled[None, :] & (own_rows[:, None] != jnp.arange(len(filled))[None, :])
    similarity, rows = jax.lax.top_k(jnp.where(candidate, cosine_similarity(queries, bank), -jnp.inf), count)
    return rows, jnp.isfinite(similarity)
