"""Distances between moments of two samples."""

import math

import jax
import jax.numpy as jnp

from da_bench.settings import UserError
from da_bench.types import Array


def covariance(x: Array) -> Array:
    """[d, d] sample covariance, over n - 1, of x [n, d]; UserError for n < 2."""
    half = _deviations(x)
    return _product(half.T, half)


def _deviations(x: Array) -> Array:
    """[n, d] whose product with itself is the covariance."""
    if x.shape[0] < 2:
        raise UserError(f"a covariance needs 2 rows of each domain in a batch, not {x.shape[0]}")
    return (x - x.mean(axis=0, keepdims=True)) / math.sqrt(x.shape[0] - 1)


def _product(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def covariance_gap(source: Array, target: Array) -> Array:
    """||C_s - C_t||_F^2 / (4 d^2) for source [n, d] and target [m, d], n and m >= 2.

    Deep CORAL's Eq. 1 with the covariances of Eq. 2-3 (Sun and Saenko 2016, arXiv:1607.01719). Several suites take the
    mean over the d^2 entries instead (4 times as much) and add the distance of the means; the paper does neither.
    Where rows are fewer than dimensions it is taken from [n, m] inner products, which costs d / (n + m) times less.
    """
    d = source.shape[1]
    if d > source.shape[0] + target.shape[0]:
        return _gap_of_rows(_deviations(source), _deviations(target)) / (4 * d**2)
    return jnp.sum((covariance(source) - covariance(target)) ** 2) / (4 * d**2)


def _gap_of_rows(source: Array, target: Array) -> Array:
    """||S'S - T'T||_F^2 = ||S S'||_F^2 + ||T T'||_F^2 - 2 ||S T'||_F^2, of the signed Gram matrix of all rows."""
    rows = jnp.concatenate([source, target])
    signs = jnp.concatenate([jnp.ones(source.shape[0], rows.dtype), -jnp.ones(target.shape[0], rows.dtype)])
    return jnp.sum(_product(rows, rows.T) ** 2 * signs[:, None] * signs[None, :])
