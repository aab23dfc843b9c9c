"""Maximum mean discrepancy (Gretton et al., JMLR 2012) with the kernel family of DAN (Long et al., ICML 2015)."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array

Estimator = Literal["unbiased", "biased", "linear", "cyclic"]
Centre = Literal["median", "mean"]


def squared_distances(x: Array, y: Array) -> Array:
    """[n, m] squared Euclidean distances between x [n, d] and y [m, d], never negative."""
    cross = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1)[None, :] - 2 * cross, 0.0)


def lower_median(x: Array) -> Array:
    """The middle value of a flat array of numbers >= 0; of an even count, the lower one of the two in the middle.

    Bisects on the bits, whose order as integers is that of floats >= 0. Sorting, XLA's way, takes longer on a CPU than
    all the rest of a small network's step.
    """
    bits = jnp.finfo(x.dtype).bits
    pattern = jax.lax.bitcast_convert_type(x, f"int{bits}")
    rank = (x.size + 1) // 2

    def halve(i: int, low: Array) -> Array:  # the largest prefix under which fewer than `rank` values lie
        candidate = low | (jnp.ones((), low.dtype) << (bits - 2 - i))
        return jnp.where(jnp.sum(pattern < candidate) < rank, candidate, low)

    found = jax.lax.fori_loop(0, bits - 1, halve, jnp.zeros((), pattern.dtype))
    return jax.lax.bitcast_convert_type(found, x.dtype)


def gaussian_family(distances: Array, bandwidth: Array, factors: tuple[float, ...]) -> Array:
    """Mean over the `factors` f of exp(-distances / (f bandwidth)), in [0, 1]; distances [...] are squared.

    A convex combination with equal weights. DAN learns the weights by a quadratic program; no known implementation
    does, and neither do we.
    """
    bandwidth = jnp.maximum(bandwidth, jnp.finfo(distances.dtype).eps)  # features that collapsed are 0 apart
    first, *others = (jnp.exp(-distances / (factor * bandwidth)) for factor in factors)
    return sum(others, start=first) / len(factors)


def gaussian_kernel(x: Array, centre: Centre, factors: tuple[float, ...]) -> Array:
    """`gaussian_family` [n, n] of x [n, d] around the median or mean of its squared distances, without a gradient."""
    distances = squared_distances(x, x)
    apart = jax.lax.stop_gradient(distances)[jnp.triu_indices(x.shape[0], k=1)]
    return gaussian_family(distances, lower_median(apart) if centre == "median" else jnp.mean(apart), factors)


def mmd(kernel: Array, sources: int, estimator: Estimator) -> Array:
    """Squared MMD from the kernel matrix [n + m, n + m] of the pooled sample; its first n = `sources` rows are source.

    unbiased: Gretton's Eq. 3, without the diagonals, may be negative; biased: its Eq. 5, with them, never negative;
    linear: its Section 6, the one DAN trains with: disjoint pairs, n = m, of an odd n the last row is dropped;
    cyclic: each row with the next, the last with the first, n = m (TLlib's linear one).

    Raises:
        UserError: for fewer than 2 rows of a domain, or n and m that differ with "linear" or "cyclic".
    """
    _check_rows(sources, kernel.shape[0] - sources, estimator)
    source, target = kernel[:sources, :sources], kernel[sources:, sources:]
    cross = kernel[:sources, sources:]
    if estimator in ("linear", "cyclic"):
        return _of_next(source, target, cross, 2 if estimator == "linear" else 1)
    if estimator == "biased":
        return source.mean() + target.mean() - 2 * cross.mean()
    return _off_diagonal_mean(source) + _off_diagonal_mean(target) - 2 * cross.mean()


def _check_rows(n: int, m: int, estimator: Estimator) -> None:
    if estimator != "biased" and min(n, m) < 2:
        raise UserError(f"the {estimator} estimate of MMD needs 2 rows of each domain in a batch, not {n} and {m}")
    if estimator in ("linear", "cyclic") and n != m:
        raise UserError(
            f"the {estimator} estimate of MMD needs as many source as target rows in a batch, not {n} and {m}"
        )


def _off_diagonal_mean(kernel: Array) -> Array:
    n = kernel.shape[0]
    return (kernel.sum() - jnp.trace(kernel)) / (n * (n - 1))


def _of_next(source: Array, target: Array, cross: Array, stride: int) -> Array:
    """Mean over every row, or every second one, with the next; with disjoint pairs an odd last row has none."""
    n = source.shape[0]
    first = jnp.arange(0, n if stride == 1 else n - 1, stride)
    second = (first + 1) % n
    terms = source[first, second] + target[first, second] - cross[first, second] - cross[second, first]
    return terms.mean()


def local_mmd(kernel: Array, source: Array, target: Array, counted: Array) -> Array:
    """Local MMD: the mean over `counted` classes of the squared MMD between what the two domains have of a class.

    kernel [n + m, n + m] of the pooled sample; source [n, c] and target [m, c]: how far a row belongs to a class, >= 0,
    divided here by the class's sum and without a gradient; counted [c] bool; 0 where none is (Zhu et al. 2020,
    arXiv:2106.09144).
    """
    shares = [x / jnp.where(x.sum(axis=0) > 0, x.sum(axis=0), 1.0)[None, :] for x in (source, target)]
    weights = jax.lax.stop_gradient(jnp.concatenate([shares[0], -shares[1]]))
    gaps = jnp.sum(weights * jnp.matmul(kernel, weights, precision=jax.lax.Precision.HIGHEST), axis=0)
    return jnp.sum(jnp.where(counted, gaps, 0.0)) / jnp.maximum(counted.sum(), 1)
