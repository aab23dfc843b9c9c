"""Rank correlation of scores with accuracies. Scores that are not finite rank below all others."""

import numpy as np


def spearman(scores: np.ndarray, values: np.ndarray) -> float:
    """Spearman's rho.

    Args:
        scores: scores [k]; those that are not finite rank last.
        values: finite values [k].

    Returns:
        rho in [-1, 1]; NaN if scores or values are constant.
    """
    from scipy import stats

    scores = nonfinite_last(scores)
    return float(stats.spearmanr(scores, values).statistic) if _both_vary(scores, values) else float("nan")


def kendall(scores: np.ndarray, values: np.ndarray) -> float:
    """Kendall's tau-b. Arguments and result as of `spearman`."""
    from scipy import stats

    scores = nonfinite_last(scores)
    return float(stats.kendalltau(scores, values).statistic) if _both_vary(scores, values) else float("nan")


def nonfinite_last(scores: np.ndarray) -> np.ndarray:
    """Replace scores that are not finite by a number below all others."""
    finite = np.isfinite(scores)
    return np.where(finite, scores, min(scores[finite], default=0) - 1)


def _both_vary(scores: np.ndarray, values: np.ndarray) -> bool:
    return len(scores) > 1 and bool(np.ptp(scores)) and bool(np.ptp(values))
