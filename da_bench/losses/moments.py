"""Distances between moments of two samples."""

import jax
import jax.numpy as jnp

from da_bench.settings import UserError
from da_bench.types import Array


def covariance(x: Array) -> Array:
    """[d, d] sample covariance, over n - 1, of x [n, d]; UserError for n < 2."""
    if x.shape[0] < 2:
        raise UserError(f"a covariance needs 2 rows of each domain in a batch, not {x.shape[0]}")
    centred = x - x.mean(axis=0, keepdims=True)
    return jnp.matmul(centred.T, centred, precision=jax.lax.Precision.HIGHEST) / (x.shape[0] - 1)


def covariance_gap(source: Array, target: Array) -> Array:
    """||C_s - C_t||_F^2 / (4 d^2) for source [n, d] and target [m, d], n and m >= 2.

    Deep CORAL's Eq. 1 with the covariances of Eq. 2-3 (Sun and Saenko 2016, arXiv:1607.01719). Several suites take the
    mean over the d^2 entries instead (4 times as much) and add the distance of the means; the paper does neither.
    """
    difference = covariance(source) - covariance(target)
    return jnp.sum(difference**2) / (4 * source.shape[1] ** 2)
