"""Discrepancies between the predictions of two classifiers for the same rows."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def classifier_discrepancy(first: Array, second: Array) -> Array:
    """Mean over rows and classes of |p_1 - p_2|, in [0, 2 / c].

    Convention: the factor 1 / c is the paper's.

    Args:
        first: [n, c] class probabilities of one classifier.
        second: [n, c] class probabilities of the other.

    References: Saito et al., CVPR 2018. arXiv:1712.02560, Eq. 1.
    """
    return jnp.mean(jnp.abs(first - second))


def sliced_wasserstein_discrepancy(first: Array, second: Array, directions: Array) -> Array:
    """Sliced Wasserstein distance with squared cost: the mean over directions and rows of (p_1 - p_2)^2 after sorting.

    Convention: Algorithm 1 of the paper sums over directions and rows. The authors' code takes the mean, as here, so
    the value does not grow with the batch.

    Args:
        first: [n, c] class probabilities of one classifier.
        second: [n, c] class probabilities of the other.
        directions: [c, r] unit vectors, one a column.

    References: Lee et al., CVPR 2019. arXiv:1903.04064, Algorithm 1.
    """
    p, q = (jnp.sort(jnp.matmul(x, directions, precision="highest"), axis=0) for x in (first, second))
    return jnp.mean((p - q) ** 2)


def random_directions(key: Array, dimensions: int, count: int) -> Array:
    """Draw unit vectors uniformly from the sphere: [dimensions, count], one a column."""
    normal = jax.random.normal(key, (dimensions, count), jnp.result_type(float))
    return normal / jnp.linalg.norm(normal, axis=0, keepdims=True)
