"""Maximum mean discrepancy with the multi-kernel of DAN.

References: Gretton et al., A Kernel Two-Sample Test, JMLR 2012; Long et al. (DAN), ICML 2015, arXiv:1502.02791.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.losses.distances import squared_distances

Estimator = Literal["unbiased", "biased", "linear", "cyclic"]
BandwidthRule = Literal["median", "mean"]


def lower_median(x: Array) -> Array:
    """Middle value of a flat array of non-negative numbers; of an even count, the lower of the two middle values.

    The search bisects on the bits of the numbers, whose order as integers is the order of non-negative floats.
    Sorting, XLA's own way, takes longer on a CPU than the rest of a small network's step.

    Args:
        x: [n] numbers >= 0.
    """
    bits = jnp.finfo(x.dtype).bits
    pattern = jax.lax.bitcast_convert_type(x, f"int{bits}")
    rank = (x.size + 1) // 2

    def set_next_bit(i: int, prefix: Array) -> Array:
        # keep the largest prefix with fewer than `rank` values below it
        candidate = prefix | (jnp.ones((), prefix.dtype) << (bits - 2 - i))
        return jnp.where(jnp.sum(pattern < candidate) < rank, candidate, prefix)

    median = jax.lax.fori_loop(0, bits - 1, set_next_bit, jnp.zeros((), pattern.dtype))
    return jax.lax.bitcast_convert_type(median, x.dtype)


def multi_gaussian_kernel(distances: Array, bandwidth: Array, factors: tuple[float, ...]) -> Array:
    """Mean over the factors f of exp(-distances / (f bandwidth)), in [0, 1].

    Convention: a convex combination with equal weights. DAN learns the weights by a quadratic program; no known
    implementation does, and neither does this one.

    Args:
        distances: [...] squared Euclidean distances.
        bandwidth: scalar >= 0; 0 (all features equal) is raised to the machine epsilon.
        factors: multiples of the bandwidth, one a kernel.
    """
    bandwidth = jnp.maximum(bandwidth, jnp.finfo(distances.dtype).eps)
    first, *others = (jnp.exp(-distances / (factor * bandwidth)) for factor in factors)
    return sum(others, start=first) / len(factors)


def gaussian_kernel(x: Array, rule: BandwidthRule, factors: tuple[float, ...]) -> Array:
    """Kernel matrix of `multi_gaussian_kernel`, its bandwidth taken from the sample without a gradient.

    Args:
        x: [n, d] pooled sample of both domains.
        rule: bandwidth: the "median" or the "mean" of the squared distances between different rows.
        factors: multiples of the bandwidth, one a kernel.

    Returns:
        [n, n].
    """
    distances = squared_distances(x, x)
    pairs = jax.lax.stop_gradient(distances)[jnp.triu_indices(x.shape[0], k=1)]
    return multi_gaussian_kernel(distances, lower_median(pairs) if rule == "median" else jnp.mean(pairs), factors)


def mmd(kernel: Array, num_source: int, estimator: Estimator) -> Array:
    """Squared MMD of two domains from the kernel matrix of the pooled sample.

    Args:
        kernel: [n + m, n + m]; the first n rows and columns are source rows.
        num_source: n.
        estimator: "unbiased": without the diagonals, may be negative (Gretton et al., Eq. 3).
            "biased": with the diagonals, never negative (Eq. 5).
            "linear": from disjoint pairs of rows, needs n = m; an odd last row is dropped. DAN trains with it
            (Gretton et al., Section 6).
            "cyclic": each row with the next and the last with the first, needs n = m (TLlib calls this "linear").

    Raises:
        UserError: a domain has fewer than 2 rows, or n and m differ with "linear" or "cyclic".
    """
    n, m = num_source, kernel.shape[0] - num_source
    if estimator != "biased" and min(n, m) < 2:
        raise UserError(f"the {estimator} estimate of MMD needs 2 rows of each domain in a batch, not {n} and {m}")
    if estimator in ("linear", "cyclic") and n != m:
        raise UserError(
            f"the {estimator} estimate of MMD needs as many source as target rows in a batch, not {n} and {m}"
        )
    source, target, cross = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    if estimator in ("linear", "cyclic"):
        return _mean_over_pairs(source, target, cross, 2 if estimator == "linear" else 1)
    if estimator == "biased":
        return source.mean() + target.mean() - 2 * cross.mean()
    return _off_diagonal_mean(source) + _off_diagonal_mean(target) - 2 * cross.mean()


def _off_diagonal_mean(kernel: Array) -> Array:
    n = kernel.shape[0]
    return (kernel.sum() - jnp.trace(kernel)) / (n * (n - 1))


def _mean_over_pairs(source: Array, target: Array, cross: Array, stride: int) -> Array:
    """Mean over pairs of consecutive rows, overlapping and cyclic for stride 1, disjoint for stride 2."""
    n = source.shape[0]
    first = jnp.arange(0, n if stride == 1 else n - 1, stride)
    second = (first + 1) % n
    terms = source[first, second] + target[first, second] - cross[first, second] - cross[second, first]
    return terms.mean()


def local_mmd(kernel: Array, source: Array, target: Array, counted: Array) -> Array:
    """Local MMD: the mean over classes of the squared MMD between the two domains' rows of a class.

    Class memberships are divided by their sum per class and domain, and receive no gradient.

    Args:
        kernel: [n + m, n + m] kernel matrix of the pooled sample, source rows first.
        source: [n, c] membership >= 0 of source rows in every class, such as one-hot labels.
        target: [m, c] membership >= 0 of target rows in every class, such as predicted probabilities.
        counted: [c] bool, the classes to average over.

    Returns:
        Scalar; 0 if no class is counted.

    References: Zhu et al. (DSAN), IEEE TNNLS 2020. arXiv:2106.09144.
    """
    shares = [x / jnp.where(x.sum(axis=0) > 0, x.sum(axis=0), 1.0)[None, :] for x in (source, target)]
    weights = jax.lax.stop_gradient(jnp.concatenate([shares[0], -shares[1]]))
    gaps = jnp.sum(weights * jnp.matmul(kernel, weights, precision=jax.lax.Precision.HIGHEST), axis=0)
    return jnp.sum(jnp.where(counted, gaps, 0.0)) / jnp.maximum(counted.sum(), 1)
