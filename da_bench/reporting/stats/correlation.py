"""Rank correlations."""

import numpy as np


def spearman(scores: np.ndarray, values: np.ndarray) -> float:
    """Spearman's rho of scores [k] and values [k]; scores that are not finite are the lowest; NaN: one is constant.

    scipy's, as its tau, adds a p-value, which takes most of its time.
    """
    return _cosine(_centred_ranks(nonfinite_last(scores)), _centred_ranks(values))


def kendall(scores: np.ndarray, values: np.ndarray) -> float:
    """Kendall's tau-b, as `spearman`."""
    return _cosine(*(np.sign(one[:, None] - one).ravel() for one in (nonfinite_last(scores), values)))


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the distance of each rank from the middle one; equal values have the mean of their ranks."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    twice: np.ndarray = (2 * np.cumsum(counts) - counts - len(values))[places]
    return twice.astype(float)  # whole, so that a constant's are 0


def nonfinite_last(scores: np.ndarray) -> np.ndarray:
    """Replace scores that are not finite by a value below all others."""
    seen = np.isfinite(scores)
    return np.where(seen, scores, min(scores[seen], default=0) - 1)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / lengths) if lengths else float("nan")
