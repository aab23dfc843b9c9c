"""Distances between moments of two samples."""

import math

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.losses.mmd import mmd
from da_bench.losses.norms import norm


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


def mean_gap(source: Array, target: Array) -> Array:
    """||mean of source - mean of target||^2 for source [n, d] and target [m, d]: the squared MMD of a linear kernel.

    Tzeng et al. 2014 (arXiv:1412.3474), Eq. 1, squared.
    """
    return jnp.sum((source.mean(axis=0) - target.mean(axis=0)) ** 2)


def central_moment_gap(source: Array, target: Array, moments: int, interval: Array | float) -> Array:
    """Central moment discrepancy of source [n, d] and target [m, d], whose entries lie in an interval so long.

    ||mean_s - mean_t|| / interval + the sum over k = 2 .. `moments` of ||c_k,s - c_k,t|| / interval^k, with c_k the
    means of (x - mean)^k by dimension. Norms, not squared: the CMD regularizer (Zellinger et al. 2017,
    arXiv:1702.08811).
    """
    ours, theirs = (x / interval for x in (source, target))
    means = [x.mean(axis=0, keepdims=True) for x in (ours, theirs)]
    gap = norm((means[0] - means[1])[0])
    deviations = ours - means[0], theirs - means[1]
    for power in range(2, moments + 1):
        of_source, of_target = ((x**power).mean(axis=0) for x in deviations)
        gap += norm(of_source - of_target)
    return gap


def tensor_moment_gap(source: Array, target: Array, order: int) -> Array:
    """||mean of s^(x)p - mean of t^(x)p||_F^2 / d^p for source [n, d], target [m, d] and p = `order`.

    HoMM (Chen et al. 2020, arXiv:1912.11976). (x)p is the p-th tensor power, of d^p entries, none of which is
    made: the inner product of two powers is the power of the inner product, so that this is the squared MMD of the
    kernel (x'y / d)^p, from [n + m, n + m] numbers.
    """
    n, d = source.shape
    pooled = jnp.concatenate([source, target])
    return mmd((_product(pooled, pooled.T) / d) ** order, n, "biased")


def sampled_moment_gap(source: Array, target: Array, places: Array) -> Array:
    """`tensor_moment_gap` at some of its entries: the mean over them of the squared difference.

    places [t, p]: the p dimensions that each of the t entries multiplies. HoMM's random sampling matching.
    """
    ours, theirs = (jnp.prod(x[:, places], axis=2).mean(axis=0) for x in (source, target))
    return jnp.mean((ours - theirs) ** 2)
