"""Classes as clusters of features: centroids, and which is nearest in direction."""

import jax.numpy as jnp

from da_bench.core.types import Array
from da_bench.losses.norms import norm


def unit(features: Array) -> Array:
    """Features [n, d] over their lengths; rows of zeros stay."""
    length = norm(features)
    return features / jnp.where(length > 0, length, 1.0)[:, None]


def cosines(x: Array, y: Array) -> Array:
    """[n, m] cosines of the angles between x [n, d] and y [m, d]; 0 for rows of zeros."""
    return jnp.matmul(unit(x), unit(y).T, precision="highest")


def centroids(features: Array, weights: Array) -> tuple[Array, Array]:
    """([c, d] weighted means of features [n, d], [c] bool whether any row has a weight); weights [n, c] >= 0."""
    mass = weights.sum(axis=0)
    sums = jnp.matmul(weights.T, features, precision="highest")
    return sums / jnp.where(mass > 0, mass, 1.0)[:, None], mass > 0


def nearest(features: Array, centres: Array, present: Array) -> Array:
    """[n] which of centres [c, d] has the largest cosine with each of features [n, d], of those that are `present`."""
    along = jnp.matmul(features, unit(centres).T, precision="highest")  # a row's own length changes no order
    return jnp.argmax(jnp.where(present[None, :], along, -jnp.inf), axis=1)
