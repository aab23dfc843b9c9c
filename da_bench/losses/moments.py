"""Distances between the moments of two samples: means, covariances, central moments and tensor moments."""

import math

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.losses.distances import norm
from da_bench.losses.mmd import mmd


def covariance(x: Array) -> Array:
    """Sample covariance [d, d], divided by n - 1, of x [n, d].

    Raises:
        UserError: x has fewer than 2 rows.
    """
    half = _scaled_deviations(x)
    return _matmul(half.T, half)


def _scaled_deviations(x: Array) -> Array:
    """Deviations from the mean over sqrt(n - 1): [n, d], whose product X' X is the covariance."""
    if x.shape[0] < 2:
        raise UserError(f"a covariance needs 2 rows of each domain in a batch, not {x.shape[0]}")
    return (x - x.mean(axis=0, keepdims=True)) / math.sqrt(x.shape[0] - 1)


def _matmul(x: Array, y: Array) -> Array:
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


def covariance_gap(source: Array, target: Array) -> Array:
    """Deep CORAL's loss ||C_s - C_t||_F^2 / (4 d^2) between the two covariances.

    Convention: several suites take the mean over the d^2 entries instead (4 times as much) and add the distance of
    the means; the paper does neither. With fewer rows than dimensions the value is computed from inner products of
    rows, which costs d / (n + m) times less.

    Args:
        source: [n, d] with n >= 2.
        target: [m, d] with m >= 2.

    Raises:
        UserError: a domain has fewer than 2 rows.

    References: Sun and Saenko, 2016. arXiv:1607.01719, Eqs. 1-3.
    """
    d = source.shape[1]
    if d > source.shape[0] + target.shape[0]:
        return _gap_of_rows(_scaled_deviations(source), _scaled_deviations(target)) / (4 * d**2)
    return jnp.sum((covariance(source) - covariance(target)) ** 2) / (4 * d**2)


def _gap_of_rows(source: Array, target: Array) -> Array:
    """||S'S - T'T||_F^2 = ||S S'||_F^2 + ||T T'||_F^2 - 2 ||S T'||_F^2, from the signed Gram matrix of all rows."""
    rows = jnp.concatenate([source, target])
    signs = jnp.concatenate([jnp.ones(source.shape[0], rows.dtype), -jnp.ones(target.shape[0], rows.dtype)])
    return jnp.sum(_matmul(rows, rows.T) ** 2 * signs[:, None] * signs[None, :])


def mean_gap(source: Array, target: Array) -> Array:
    """Squared distance of the means, the squared MMD of a linear kernel.

    Args:
        source: [n, d].
        target: [m, d].

    References: Tzeng et al., 2014. arXiv:1412.3474, Eq. 1, squared.
    """
    return jnp.sum((source.mean(axis=0) - target.mean(axis=0)) ** 2)


def central_moment_gap(source: Array, target: Array, moments: int, interval: Array | float) -> Array:
    """Central moment discrepancy (CMD).

    ||mean_s - mean_t|| / interval + sum over k = 2..moments of ||c_k(s) - c_k(t)|| / interval^k, where c_k is the mean
    of (x - mean)^k for every dimension. Convention: norms, not squared norms, as in the paper's regularizer.

    Args:
        source: [n, d].
        target: [m, d].
        moments: highest moment; the paper uses 5.
        interval: scalar > 0, length of the interval in which all entries lie (1 for sigmoid units).

    References: Zellinger et al., ICLR 2017. arXiv:1702.08811.
    """
    source, target = (x / interval for x in (source, target))
    means = [x.mean(axis=0, keepdims=True) for x in (source, target)]
    gap = norm((means[0] - means[1])[0])
    deviations = source - means[0], target - means[1]
    for power in range(2, moments + 1):
        source_moment, target_moment = ((x**power).mean(axis=0) for x in deviations)
        gap += norm(source_moment - target_moment)
    return gap


def tensor_moment_gap(source: Array, target: Array, order: int) -> Array:
    """HoMM's full matching ||mean of s^(x)p - mean of t^(x)p||_F^2 / d^p with p = `order`.

    The tensor powers have d^p entries and are never formed. Inner products of tensor powers are powers of inner
    products, so this is the squared MMD with the kernel (x'y / d)^p, computed from [n + m, n + m] numbers.

    Args:
        source: [n, d].
        target: [m, d].
        order: p >= 1.

    References: Chen et al., AAAI 2020. arXiv:1912.11976.
    """
    n, d = source.shape
    pooled = jnp.concatenate([source, target])
    return mmd((_matmul(pooled, pooled.T) / d) ** order, n, "biased")


def sampled_moment_gap(source: Array, target: Array, entries: Array) -> Array:
    """HoMM's random sampling matching: `tensor_moment_gap` on some entries of the tensors.

    Args:
        source: [n, d].
        target: [m, d].
        entries: [t, p] integers in 0..d-1; every row names one of the t sampled entries by its p dimensions.

    Returns:
        Mean over the entries of the squared difference.

    References: Chen et al., AAAI 2020. arXiv:1912.11976.
    """
    source_moments, target_moments = (jnp.prod(x[:, entries], axis=2).mean(axis=0) for x in (source, target))
    return jnp.mean((source_moments - target_moments) ** 2)
