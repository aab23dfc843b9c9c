"""Distances between the feature distributions of two domains: MMD, CORAL, sliced Wasserstein.

The proxy A-distance is in `da_bench.classical.a_distance`, because a classical method uses it as well.
"""

import numpy as np

from da_bench.core.types import Array


def mmd(source: Array, target: Array, max_rows: int = 500) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy with a Gaussian kernel.

    The kernel is k(x, y) = exp(-|x - y|^2 / (2 s^2)), where s is the median distance between all rows of both domains.

    Args:
        source: features of the source [n, d].
        target: features of the target [m, d].
        max_rows: only the first `max_rows` rows of each domain are used.

    Returns:
        The estimate: near 0, possibly negative, if the distributions agree; at most 2. NaN if a feature is not finite,
        a domain has only one row, or more than half of the distances are 0.

    References:
        Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A Kernel Two-Sample Test, JMLR 2012, Eq. 3.
    """
    n, m = min(len(source), max_rows), min(len(target), max_rows)
    if min(n, m) < 2:
        return float("nan")
    distances = squared_distances(np.concatenate([source[:n], target[:m]]))
    median = np.median(distances[np.triu_indices(n + m, 1)])
    if not median > 0:
        return float("nan")
    kernel = np.exp(-distances / (2 * median))
    within = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (kernel[:n, :n], kernel[n:, n:])]
    return float(sum(within) - 2 * kernel[:n, n:].sum() / (n * m))


def squared_distances(rows: Array) -> np.ndarray:
    """Squared Euclidean distances [n, n] between rows [n, d]; the diagonal is exactly 0."""
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(axis=0)  # avoids cancellation in the difference below for rows far from the origin
    norms = np.sum(rows**2, axis=1)
    distances: np.ndarray = np.maximum(norms[:, None] + norms - 2 * rows @ rows.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    return distances


def coral(source: Array, target: Array) -> float:
    """Squared Frobenius distance between the covariances of both domains, divided by 4 d^2.

    Args:
        source: features of the source [n, d].
        target: features of the target [m, d].

    Returns:
        A number of at least 0.

    References:
        Sun and Saenko, Deep CORAL, ECCV Workshops 2016. arXiv:1607.01719, Eq. 1.
    """
    source_cov, target_cov = (
        np.atleast_2d(np.cov(np.asarray(rows, np.float64), rowvar=False)) for rows in (source, target)
    )
    return float(np.sum((source_cov - target_cov) ** 2) / (4 * len(source_cov) ** 2))


def sliced_wasserstein(source: Array, target: Array, directions: int = 100, seed: int = 0) -> float:
    """Root of the mean squared 2-Wasserstein distance along random directions.

    Along each direction the two empirical quantile functions are compared at max(n, m) points, which is exact for
    n = m.

    Args:
        source: features of the source [n, d].
        target: features of the target [m, d].
        directions: number of unit vectors, drawn uniformly from the sphere.
        seed: seed of the random directions.

    Returns:
        A distance of at least 0, in units of the features.

    References:
        Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein Barycenters of Measures, Journal of Mathematical
        Imaging and Vision 2015, Section 2.
    """
    source, target = (np.asarray(rows, np.float64) for rows in (source, target))
    axes = np.random.default_rng(seed).normal(size=(source.shape[1], directions))
    axes /= np.linalg.norm(axes, axis=0)
    points = (np.arange(count := max(len(source), len(target))) + 0.5) / count

    def quantiles(rows: np.ndarray) -> np.ndarray:  # of the projections, [count, directions]
        return np.sort(rows @ axes, axis=0)[(points * len(rows)).astype(int)]

    return float(np.sqrt(np.mean((quantiles(source) - quantiles(target)) ** 2)))
