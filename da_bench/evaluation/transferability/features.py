"""How well features suit labels: H-score, LogME and TransRate.

None of them trains a classifier. All take features [n, d] and integer labels [n] of one domain, and higher means that
the features suit the labels better.
"""

import numpy as np

from da_bench.core.types import Array

EIGENVALUE_TOLERANCE = 1e-10  # relative to the largest eigenvalue; smaller ones are rounding errors
LOGME_ITERATIONS = 100
LOGME_TOLERANCE = 1e-8  # relative change of alpha / beta at which the fixed point has converged
SMALLEST_RESIDUAL = 1e-12  # the logarithm of a residual of 0 would be infinite


def h_score(features: Array, labels: Array) -> float:
    """H-score tr(cov(f)^+ cov(E[f|y])), where ^+ is the pseudo-inverse.

    It is invariant to invertible affine maps of the features.

    Args:
        features: features f [n, d].
        labels: labels y [n].

    Returns:
        A number in [0, min(d, number of classes - 1)], or NaN if a feature is not finite.

    References:
        Bao, Li, Huang, Zhang, Zheng, Zamir and Guibas, An Information-Theoretic Approach to Transferability in Task
        Transfer Learning, ICIP 2019, Definition 2.
    """
    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    total, between = _covariances(features, labels)
    return float(np.trace(np.linalg.pinv(total, rcond=EIGENVALUE_TOLERANCE, hermitian=True) @ between))


def regularised_h_score(features: Array, labels: Array) -> float:
    """H-score tr(cov_a(f)^-1 (1 - a) cov(E[f|y])) with a shrunk covariance.

    The weight a is that of Ledoit and Wolf. Use it where there are about as many features as rows: there the plain
    H-score is near its upper bound for any features.

    Args:
        features: features f [n, d].
        labels: labels y [n].

    Returns:
        A number of at least 0, or NaN if a feature is not finite.

    References:
        Ibrahim, Ponomareva and Mazumder, Newer is not always better: Rethinking transferability metrics, their
        peculiarities, stability and performance, arXiv:2110.06893, Section 4.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    shrinkage = ledoit_wolf_shrinkage(features)
    total, between = _covariances(features, labels)
    mean_variance = np.trace(total) / features.shape[1]
    shrunk = (1 - shrinkage) * total + shrinkage * mean_variance * np.eye(len(total))
    inverse = np.linalg.pinv(shrunk, rcond=EIGENVALUE_TOLERANCE, hermitian=True)
    return float((1 - shrinkage) * np.trace(inverse @ between))


def logme(features: Array, labels: Array) -> float:
    """Log evidence of a Bayesian linear model y = F w + noise, maximised over the precisions of prior and noise.

    Args:
        features: features F [n, d], used as they are (not centred).
        labels: labels [n]; each class that occurs makes one 0/1 column y.

    Returns:
        The log evidence in nats per row, averaged over the classes. NaN if a feature is not finite.

    References:
        You, Liu, Wang and Long, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021,
        Eq. 2 and Algorithm 1.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if not np.isfinite(features).all():
        return float("nan")
    left, singular, _ = np.linalg.svd(span_coordinates(features), full_matrices=False)
    columns = (labels == np.unique(labels)[:, None]).astype(np.float64)
    best = [log_evidence(left, singular, y, *_best_precisions(left, singular, y)) for y in columns]
    return float(np.mean(best)) / len(features)


def log_evidence(left: np.ndarray, singular: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """Log p(y | F, alpha, beta) in nats, for F = left diag(singular) V^T.

    Directions outside the r singular vectors contribute nothing, because their weights keep their prior.

    Args:
        left: left singular vectors of the features [n, r].
        singular: singular values of the features [r].
        y: regression targets [n].
        alpha: precision of the prior of the weights, positive.
        beta: precision of the noise, positive.

    Returns:
        The log evidence.

    References:
        Bishop, Pattern Recognition and Machine Learning, 2006, Eq. 3.86.
    """
    projected = left.T @ y
    precision = alpha + beta * singular**2
    residual = y @ y - projected @ projected + np.sum((alpha / precision * projected) ** 2)
    squared_weights = np.sum((beta * singular * projected / precision) ** 2)
    n = len(y)
    fit = n * np.log(beta) - beta * residual - alpha * squared_weights - n * np.log(2 * np.pi)
    return float(fit - np.sum(np.log(precision / alpha))) / 2


def _best_precisions(left: np.ndarray, singular: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(alpha, beta) of the largest evidence, by MacKay's fixed-point iteration; arguments as in `log_evidence`."""
    projected, alpha, beta = left.T @ y, 1.0, 1.0
    outside = max(y @ y - projected @ projected, 0.0)
    for _ in range(LOGME_ITERATIONS):
        precision = alpha + beta * singular**2
        effective = np.sum(beta * singular**2 / precision)
        residual = outside + np.sum((alpha / precision * projected) ** 2)
        squared_weights = np.sum((beta * singular * projected / precision) ** 2)
        previous = alpha / beta
        alpha = effective / max(squared_weights, SMALLEST_RESIDUAL)
        beta = (len(y) - effective) / max(residual, SMALLEST_RESIDUAL)
        if abs(alpha / beta - previous) <= LOGME_TOLERANCE * previous:
            break
    return alpha, beta


def transrate(features: Array, labels: Array, epsilon: float = 1e-4) -> float:
    """TransRate R(F) - sum_c (n_c / n) R(F_c): coding length that the labels save.

    R(F) = 1/2 log det(I + F^T F / (n epsilon)). The paper's listing weights the classes equally; its equation weights
    them by their number of rows, as does this function.

    Args:
        features: features F [n, d]; they are centred over all rows here.
        labels: labels [n].
        epsilon: squared distortion up to which the features are coded, positive.

    Returns:
        A number of at least 0, in nats. NaN if a feature is not finite.

    References:
        Huang, Huang, Rong, Yang and Wei, Frustratingly Easy Transferability Estimation, ICML 2022, Eqs. 4-6.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if not np.isfinite(features).all():
        return float("nan")
    centred = features - features.mean(axis=0)
    within = [np.mean(labels == c) * coding_rate(centred[labels == c], epsilon) for c in np.unique(labels)]
    return coding_rate(centred, epsilon) - float(np.sum(within))


def coding_rate(features: np.ndarray, epsilon: float) -> float:
    """1/2 log det(I + F^T F / (n epsilon)) in nats for F [n, d], by the smaller of the two Gram matrices."""
    n, d = features.shape
    gram = features.T @ features if d <= n else features @ features.T
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (n * epsilon))[1]) / 2


def span_coordinates(features: np.ndarray) -> np.ndarray:
    """Rows [n, d] in orthonormal coordinates of their span if d > n, so at most [n, n]; else the rows unchanged."""
    n, d = features.shape
    if d <= n:
        return features
    eigenvalues, vectors = np.linalg.eigh(features @ features.T)
    positive = eigenvalues > EIGENVALUE_TOLERANCE * max(eigenvalues.max(), 0.0)
    coordinates: np.ndarray = vectors[:, positive] * np.sqrt(eigenvalues[positive])
    return coordinates


def _covariances(features: np.ndarray, labels: Array) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of the rows, and of the class means repeated for each row; both in `span_coordinates`, over n."""
    _, classes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    centred = span_coordinates(features - features.mean(axis=0))
    means = (np.eye(len(counts))[classes].T @ centred) / counts[:, None]
    return centred.T @ centred / len(features), means.T @ (counts[:, None] * means) / len(features)
