"""Statistics over seeds. Accuracies are in [0, 1]; every interval is two-sided with 95 % confidence.

Intervals are Student's t, not mean +- std or a bootstrap: over 3 to 10 seeds it is the one that covers 95 %.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
# Accuracies kept as float32 differ by about 1e-7 where they are equal on paper; one image in a million is 1e-6.
TIE_TOLERANCE = 1e-6


class Interval(NamedTuple):
    """mean +- half_width of the t interval over n values; half_width is NaN for one value."""

    mean: float
    half_width: float
    n: int


class PairedTest(NamedTuple):
    """Mean of n differences a - b, its t interval and the p of a two-sided paired t test (NaN: no test possible)."""

    mean: float
    half_width: float
    p: float
    n: int


def t_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The t interval of the mean of `values` [n]: mean +- t(0.975, n - 1) s / sqrt(n).

    One value has no spread: half_width is NaN. Equal values: half_width is 0.

    Raises:
        ValueError: for no values, or one that is not finite.
    """
    values = _finite(values)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean, float("nan"), n)
    if np.ptp(values) == 0:
        return Interval(mean, 0.0, n)
    return Interval(mean, _quantile(n - 1) * _standard_error(values), n)


def prediction_interval(values: Sequence[float] | np.ndarray, more: int = 1) -> tuple[float, float]:
    """Where the mean of `more` further values would lie with 95 % confidence, of one if not said otherwise.

    mean -+ t(0.975, n - 1) s sqrt(1 / more + 1 / n) of `values` [n].

    Raises:
        ValueError: as `t_interval`, or for a single value.
    """
    mean, half_width, n = t_interval(values)
    if n == 1:
        raise ValueError("one value says nothing of the next: give two or more")
    wider = half_width * np.sqrt(n / more + 1)
    return float(mean - wider), float(mean + wider)


def paired_t_test(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> PairedTest:
    """Paired t test of a [n] against b [n], seed by seed, in the units of `a`; differences below 1e-6 are equal.

    Where every difference is the same there is no spread to test against. If they are all zero, a and b are the
    same run by run: half_width 0, p 1. If they are all the same other number, then t = mean / 0: half_width and p
    are NaN. Calling that p = 0 would turn two seeds that happen to differ by the same five images into certainty.

    Raises:
        ValueError: for different lengths, no values, or one that is not finite.
    """
    a, b = _finite(a), _finite(b)
    if a.shape != b.shape:
        raise ValueError(f"paired values must be as many: {len(a)} and {len(b)}")
    differences = a - b
    mean, n = float(differences.mean()), len(differences)
    if n > 1 and np.all(np.abs(differences) <= TIE_TOLERANCE):
        return PairedTest(0.0, 0.0, 1.0, n)
    if n == 1 or np.ptp(differences) <= TIE_TOLERANCE:
        return PairedTest(mean, float("nan"), float("nan"), n)
    error = _standard_error(differences)
    return PairedTest(mean, _quantile(n - 1) * error, _two_sided_p(mean / error, n - 1), n)


def gain_verdict(gain: PairedTest) -> str:
    """What a paired gain allows to say.

    "gain" or "negative transfer" where the whole interval is above or below 0, "inside noise" where it holds 0,
    "untested" where there is no interval.
    """
    if np.isnan(gain.half_width):
        return "untested"
    if gain.mean - gain.half_width > 0:
        return "gain"
    return "negative transfer" if gain.mean + gain.half_width < 0 else "inside noise"


def gap_closed(method: float, source_only: float, bound: float) -> float:
    """(method - source_only) / (bound - source_only): 1 is the whole gap; NaN where the bound is not above.

    method, source_only, bound: mean accuracies of the method, of no adaptation and of target labels.
    """
    gap = bound - source_only
    return (method - source_only) / gap if gap > TIE_TOLERANCE else float("nan")


def _finite(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"want one or more finite numbers in one dimension, not {values!r}")
    return array


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _two_sided_p(t: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))


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
