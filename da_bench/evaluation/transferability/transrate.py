"""TransRate: the mutual information between features and labels, by coding rates."""

import numpy as np

from da_bench.core.types import Array


def transrate(features: Array, labels: Array, epsilon: float = 1e-4) -> float:
    """R(F) - sum_c (n_c / n) R(F_c) in nats: what the labels save in coding the features up to a distortion.

    features [n, d], centred here over all rows; labels [n]; epsilon: the square of the distortion. R(F) = 1/2 log
    det(I + F^T F / (n epsilon)). The paper's listing weighs the classes equally, its equation by their rows, as here.
    Never below 0. NaN if a feature is not finite.

    References: Huang, Huang, Rong, Yang and Wei, Frustratingly Easy Transferability Estimation, ICML 2022, Eqs. 4-6.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if not np.isfinite(features).all():
        return float("nan")
    centred = features - features.mean(axis=0)
    within = [np.mean(labels == c) * coding_rate(centred[labels == c], epsilon) for c in np.unique(labels)]
    return coding_rate(centred, epsilon) - float(np.sum(within))


def coding_rate(features: np.ndarray, epsilon: float) -> float:
    """1/2 log det(I + F^T F / (n epsilon)) in nats, of F [n, d]; rows or columns, whichever are fewer."""
    n, d = features.shape
    gram = features.T @ features if d <= n else features @ features.T
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * epsilon))[1]) / 2
