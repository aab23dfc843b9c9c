"""Comparison of two methods on the same seeds."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE, finite_sample, standard_error, t_quantile

Verdict = Literal["gain", "negative transfer", "inside noise", "untested"]


class PairedTest(NamedTuple):
    """Two-sided paired t test of the differences a - b.

    Attributes:
        mean: mean difference.
        half_width: half the width of its 95 % t interval; NaN if no test is possible.
        p: p-value; NaN if no test is possible.
        n: number of pairs.
    """

    mean: float
    half_width: float
    p: float
    n: int


def paired_t_test(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> PairedTest:
    """Paired t test of a against b, seed by seed. Differences up to 1e-6 count as equal.

    If every difference is zero, a and b are the same runs: half_width is 0 and p is 1. If every difference is the same
    nonzero number, there is no spread to test against (t = mean / 0): half_width and p are NaN. p = 0 would turn two
    seeds that happen to differ by the same five images into certainty.

    Args:
        a: values [n], one per seed.
        b: values [n] at the same seeds.

    Returns:
        The test, in the units of a.

    Raises:
        ValueError: different lengths, no values, or a value that is not finite.
    """
    a, b = finite_sample(a), finite_sample(b)
    if a.shape != b.shape:
        raise ValueError(f"a paired test needs as many values of each: got {len(a)} and {len(b)}")
    differences = a - b
    mean, n = float(differences.mean()), len(differences)
    if n > 1 and np.all(np.abs(differences) <= TIE_TOLERANCE):
        return PairedTest(0.0, 0.0, 1.0, n)
    if n == 1 or np.ptp(differences) <= TIE_TOLERANCE:
        return PairedTest(mean, float("nan"), float("nan"), n)
    from scipy import stats

    error = standard_error(differences)
    p = float(2 * stats.t.sf(abs(mean / error), n - 1))
    return PairedTest(mean, t_quantile(n - 1) * error, p, n)


def gain_verdict(gain: PairedTest) -> Verdict:
    """What a paired gain over source only shows.

    Returns:
        "gain" or "negative transfer" if the whole interval is above or below 0, "inside noise" if it contains 0,
        "untested" if there is no interval.
    """
    if np.isnan(gain.half_width):
        return "untested"
    if gain.mean - gain.half_width > 0:
        return "gain"
    return "negative transfer" if gain.mean + gain.half_width < 0 else "inside noise"


def gap_closed(method: float, source_only: float, upper_bound: float) -> float:
    """Share of the gap between source only and the upper bound that a method closes.

    Args:
        method: mean accuracy of the method.
        source_only: mean accuracy without adaptation.
        upper_bound: mean accuracy of training on target labels.

    Returns:
        (method - source_only) / (upper_bound - source_only): 1 closes the whole gap. NaN if the upper bound is not
        above source only.
    """
    gap = upper_bound - source_only
    return (method - source_only) / gap if gap > TIE_TOLERANCE else float("nan")
