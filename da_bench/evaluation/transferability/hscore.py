"""H-score: how much of the features' variance lies between the classes."""

import numpy as np

from da_bench.core.types import Array

RANK = 1e-10  # of the largest eigenvalue: what is less is rounding


def h_score(features: Array, labels: Array) -> float:
    """tr(cov(f)^+ cov(E[f|y])), between 0 and the least of d and the number of classes less one; + the pseudo-inverse.

    features [n, d], labels [n]. Any invertible affine map of the features leaves it as it is. NaN if a feature is not
    finite.

    References: Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas, An Information-Theoretic Approach to Transferability in
    Task Transfer Learning, ICIP 2019, Definition 2.
    """
    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    whole, between = _covariances(features, labels)
    return float(np.trace(np.linalg.pinv(whole, rcond=RANK, hermitian=True) @ between))


def regularised_h_score(features: Array, labels: Array) -> float:
    """tr(cov_a(f)^-1 (1 - a) cov(E[f|y])) with the covariance shrunk by Ledoit and Wolf's share a, see `h_score`.

    For features that are as many as the rows, where the plain score is near its bound whatever they are.

    References: Ibrahim, Ponomareva and Mazumder, Newer is not always better: Rethinking transferability metrics, their
    peculiarities, stability and performance, arXiv:2110.06893, Section 4.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    share = ledoit_wolf_shrinkage(features)
    whole, between = _covariances(features, labels)
    level = np.trace(whole) / features.shape[1]
    shrunk = (1 - share) * whole + share * level * np.eye(len(whole))
    return float((1 - share) * np.trace(np.linalg.pinv(shrunk, rcond=RANK, hermitian=True) @ between))


def rotated(features: np.ndarray) -> np.ndarray:
    """The rows [n, d] in orthonormal coordinates of the space they span, where d is more than n: at most [n, n]."""
    n, d = features.shape
    if d <= n:
        return features
    squares, vectors = np.linalg.eigh(features @ features.T)
    there = squares > RANK * max(squares.max(), 0.0)
    coordinates: np.ndarray = vectors[:, there] * np.sqrt(squares[there])
    return coordinates


def _covariances(features: np.ndarray, labels: Array) -> tuple[np.ndarray, np.ndarray]:
    """Of all rows, and of the rows' class means; both over n, in the coordinates of `rotated`."""
    _, classes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    centred = rotated(features - features.mean(axis=0))
    means = (np.eye(len(counts))[classes].T @ centred) / counts[:, None]
    return centred.T @ centred / len(features), means.T @ (counts[:, None] * means) / len(features)
