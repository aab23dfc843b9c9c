"""How far two classifiers disagree about the same rows."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def absolute_gap(first: Array, second: Array) -> Array:
    """Mean over rows and classes of |p_1 - p_2| for probabilities [n, c], in [0, 2 / c].

    Saito et al. 2018 (arXiv:1712.02560), Eq. 1, with its factor 1 / c.
    """
    return jnp.mean(jnp.abs(first - second))


def sliced_wasserstein_gap(first: Array, second: Array, directions: Array) -> Array:
    """Mean over directions and rows of (p_1 - p_2)^2, each direction's projections sorted: of two sets of [n, c].

    directions [c, m], of length 1. Lee et al. 2019 (arXiv:1903.04064), Algorithm 1, with the squared cost. They sum
    over directions and rows; the authors' code takes the mean, as we do, so that it does not grow with the batch.
    """
    ours, theirs = (jnp.sort(jnp.matmul(x, directions, precision="highest"), axis=0) for x in (first, second))
    return jnp.mean((ours - theirs) ** 2)


def random_directions(key: Array, dimensions: int, count: int) -> Array:
    """[dimensions, count] vectors of length 1, uniform on the sphere."""
    normal = jax.random.normal(key, (dimensions, count), jnp.result_type(float))
    return normal / jnp.linalg.norm(normal, axis=0, keepdims=True)
