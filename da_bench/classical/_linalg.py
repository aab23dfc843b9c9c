"""Eigenvectors, matrix powers and kernels for classical methods."""

import numpy as np
import scipy.linalg
import scipy.sparse.linalg

DENSE_SIZE = 1500  # up to this size, computing all eigenvectors is as fast as computing the leading ones
EIGENVALUE_TOLERANCE = 1e-10  # relative to the largest eigenvalue; smaller ones are rounding errors


def principal_directions(rows: np.ndarray, n_components: int) -> np.ndarray:
    """Leading principal directions of rows [n, d].

    Args:
        rows: rows [n, d], centred here.
        n_components: number of directions; fewer are returned if the rows vary in fewer.

    Returns:
        Orthonormal columns [d, k] with k <= n_components, by decreasing variance.
    """
    centred = rows - rows.mean(axis=0)
    if len(rows) >= rows.shape[1]:
        return leading_eigenvectors(centred.T @ centred, min(n_components, rows.shape[1]))[1]
    values, vectors = leading_eigenvectors(centred @ centred.T, min(n_components, len(rows)))
    return centred.T @ vectors / np.sqrt(values)


def leading_eigenvectors(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues of a positive semi-definite matrix and their eigenvectors.

    Matrices of more than `DENSE_SIZE` rows are decomposed by the Lanczos method in O(k r^2).

    Args:
        matrix: symmetric positive semi-definite matrix [r, r].
        k: number of eigenvalues, at most r; fewer are returned if the others are zero up to rounding.

    Returns:
        (eigenvalues [k'], decreasing; eigenvectors as columns [r, k']).
    """
    r = len(matrix)
    if r <= max(DENSE_SIZE, 3 * k):
        values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(max(r - k, 0), r - 1))
    else:
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k, v0=np.random.default_rng(0).normal(size=r))
    threshold = EIGENVALUE_TOLERANCE * max(values.max(initial=0.0), np.finfo(float).tiny)
    decreasing = np.flatnonzero(values > threshold)[::-1]
    return values[decreasing], vectors[:, decreasing]


def symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    """A symmetric positive definite matrix [d, d] raised to a real power."""
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T


def gaussian_kernel(x: np.ndarray, y: np.ndarray, sigma: float) -> np.ndarray:
    """Kernel matrix exp(-|x_i - y_j|^2 / (2 sigma^2)) [n, m] of rows x [n, d] and y [m, d]."""
    from scipy.spatial.distance import cdist

    return np.exp(cdist(x, y, "sqeuclidean") / (-2 * sigma**2))


def median_distance(rows: np.ndarray) -> float:
    """Median of the positive distances between rows [n, d], of at most 1000 evenly spaced ones; 1 if all are equal."""
    from scipy.spatial.distance import pdist

    distances = pdist(rows[:: -(-len(rows) // 1000)])
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0
