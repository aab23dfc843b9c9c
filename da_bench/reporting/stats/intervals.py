"""Student's t intervals over seeds. Accuracies are in [0, 1]; every interval is two-sided at 95 % confidence.

Over 3 to 10 seeds the t interval covers 95 %; mean +- standard deviation and the bootstrap do not.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
# Equal accuracies stored as float32 differ by about 1e-7; one image in a million is 1e-6.
TIE_TOLERANCE = 1e-6


class Interval(NamedTuple):
    """The interval mean +- half_width.

    Attributes:
        mean: centre, in the units of the values.
        half_width: half the width of the interval; NaN for a single value.
        n: number of values.
    """

    mean: float
    half_width: float
    n: int


def t_interval(values: Sequence[float] | np.ndarray) -> Interval:
    """t interval of a mean: mean +- t(0.975, n - 1) s / sqrt(n).

    Args:
        values: sample [n].

    Returns:
        The interval. A single value has half_width NaN, equal values have half_width 0.

    Raises:
        ValueError: no values, or a value that is not finite.
    """
    values = finite_sample(values)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean, float("nan"), n)
    if np.ptp(values) == 0:
        return Interval(mean, 0.0, n)
    return Interval(mean, t_quantile(n - 1) * standard_error(values), n)


def prediction_interval(values: Sequence[float] | np.ndarray, runs: int = 1) -> tuple[float, float]:
    """95 % prediction interval of the mean of further runs: mean -+ t(0.975, n - 1) s sqrt(1 / runs + 1 / n).

    Args:
        values: sample [n] with n >= 2.
        runs: number of further runs whose mean is predicted.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: as `t_interval`, or for a single value.
    """
    mean, half_width, n = t_interval(values)
    if n == 1:
        raise ValueError("a prediction interval needs two or more values; got one")
    half_width *= np.sqrt(n / runs + 1)
    return float(mean - half_width), float(mean + half_width)


def finite_sample(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Convert to float64 [n] and raise ValueError unless there are one or more finite numbers in one dimension."""
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected one or more finite numbers in one dimension, got {values!r}")
    return array


def standard_error(values: np.ndarray) -> float:
    """Standard error of the mean of values [n]."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


@functools.cache
def t_quantile(degrees_of_freedom: float) -> float:
    """97.5 % quantile of Student's t distribution."""
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom))
