"""LogME: the evidence of a Bayesian linear model that predicts the labels from features."""

import numpy as np

from da_bench.core.types import Array
from da_bench.evaluation.transferability.hscore import rotated

ROUNDS = 100
TOLERANCE = 1e-8  # of the ratio of the two precisions, relative
LEAST = 1e-12  # a residual of zero would have no logarithm


def logme(features: Array, labels: Array) -> float:
    """Largest log evidence of y = F w + noise over prior and noise precisions, in nats a row, mean over the classes.

    features F [n, d], as they are: not centred; labels [n]: each class that there is makes one 0/1 column y. Higher:
    the features suit the labels. NaN if a feature is not finite.

    References: You, Liu, Wang and Long, LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML
    2021, Eq. 2 and Algorithm 1.
    """
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    if not np.isfinite(features).all():
        return float("nan")
    left, singular, _ = np.linalg.svd(rotated(features), full_matrices=False)
    columns = (labels == np.unique(labels)[:, None]).astype(np.float64)
    best = [evidence(left, singular, y, *_precisions(left, singular, y)) for y in columns]
    return float(np.mean(best)) / len(features)


def evidence(left: np.ndarray, singular: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """Log p(y|F, alpha, beta) in nats, of y [n] and F = left [n, r] diag(singular [r]) V^T.

    alpha: precision of the weights' prior; beta: of the noise. Directions beyond the r add nothing: their weights stay
    as the prior has them. Bishop, Pattern Recognition and Machine Learning, 2006, Eq. 3.86.
    """
    seen = left.T @ y
    precision = alpha + beta * singular**2
    residual = y @ y - seen @ seen + np.sum((alpha / precision * seen) ** 2)
    weights = np.sum((beta * singular * seen / precision) ** 2)
    n = len(y)
    fit = n * np.log(beta) - beta * residual - alpha * weights - n * np.log(2 * np.pi)
    return float(fit - np.sum(np.log(precision / alpha))) / 2


def _precisions(left: np.ndarray, singular: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(alpha, beta) of the largest evidence, by MacKay's fixed point."""
    seen, alpha, beta = left.T @ y, 1.0, 1.0
    outside = max(y @ y - seen @ seen, 0.0)
    for _ in range(ROUNDS):
        precision = alpha + beta * singular**2
        effective = np.sum(beta * singular**2 / precision)
        residual = outside + np.sum((alpha / precision * seen) ** 2)
        weights = np.sum((beta * singular * seen / precision) ** 2)
        before = alpha / beta
        alpha, beta = effective / max(weights, LEAST), (len(y) - effective) / max(residual, LEAST)
        if abs(alpha / beta - before) <= TOLERANCE * before:
            break
    return alpha, beta
