"""Intervals over seeds: Student's t of a mean, and of the mean of further runs."""

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
