"""Paired comparison of two methods over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE, _finite, _quantile, _standard_error


class PairedTest(NamedTuple):
    """Mean of n differences a - b, its t interval and the p of a two-sided paired t test (NaN: no test possible)."""

    mean: float
    half_width: float
    p: float
    n: int


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


def _two_sided_p(t: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(t)))
