"""Means, ratios, interquartile means and probabilities of improvement over domain pairs."""

from collections.abc import Sequence

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE, Interval
from da_bench.reporting.stats.rank_tests import SIGNIFICANCE_LEVEL

MIN_RUNS = 30  # runs below which a bootstrap interval of an aggregate covers too little

RESAMPLES = 2000

Scores = Sequence[Sequence[float] | np.ndarray]  # [pairs][seeds]: as many seeds as there are, not the same everywhere


def mean_interval(scores: Scores) -> Interval:
    """Mean over pairs of the means over seeds, and half the width of its 95 % t interval; NaN for a single seed.

    Its variance is the sum of the pairs' own over the square of their number; the freedom is Satterthwaite's.

    References: Welch, Biometrika 1938; Satterthwaite, Biometrics Bulletin 1946.
    """
    variances, freedom = _mean_variances(scores), [len(one) - 1 for one in scores]
    mean = float(np.mean([np.mean(one) for one in scores]))
    if np.isnan(variances).any():
        return Interval(mean, float("nan"), len(scores))
    return Interval(mean, _quantile(variances, freedom) * float(np.sqrt(variances.sum())) / len(scores), len(scores))


def _mean_variances(scores: Scores) -> np.ndarray:
    """Of each pair's mean over seeds, NaN of a single one."""
    return np.array([np.var(one, ddof=1) / len(one) if len(one) > 1 else np.nan for one in scores])


def _quantile(variances: np.ndarray, freedom: Sequence[int]) -> float:
    """97.5 % of a t distribution of Satterthwaite's freedom for a sum of variances [k] of so much freedom each."""
    from scipy.special import ndtri, stdtrit

    if not variances.any():
        return float(ndtri(1 - SIGNIFICANCE_LEVEL / 2))
    together = float(variances.sum() ** 2 / np.sum(variances**2 / np.asarray(freedom)))
    return float(stdtrit(together, 1 - SIGNIFICANCE_LEVEL / 2))


def ratio_interval(numerators: Scores, denominators: Scores) -> tuple[float, float, float]:
    """(ratio, low, high): of the means over pairs and seeds of two values of the same runs, and its 95 % interval.

    The interval holds every ratio r for which the mean of numerator - r denominator is not different from 0, by
    Fieller's theorem with the t quantile at the ratio itself; infinite where the denominator could be 0, NaN with a
    single seed.

    References: Fieller, JRSS B 1954, section 2.
    """
    pairs = [np.stack([np.asarray(a, np.float64), b]) for a, b in zip(numerators, denominators, strict=True)]
    top, bottom = np.mean([pair.mean(axis=1) for pair in pairs], axis=0)
    ratio = float(top / bottom)
    if min(pair.shape[1] for pair in pairs) < 2:
        return ratio, float("nan"), float("nan")
    of_mean = np.sum([np.cov(pair) / pair.shape[1] for pair in pairs], axis=0) / len(pairs) ** 2
    along = _mean_variances([pair[0] - ratio * pair[1] for pair in pairs])
    return ratio, *_fieller(top, bottom, of_mean, _quantile(along, [pair.shape[1] - 1 for pair in pairs]) ** 2)


def _fieller(top: float, bottom: float, covariance: np.ndarray, t2: float) -> tuple[float, float]:
    """Where (top - r bottom)^2 = t^2 var(top - r bottom), a square equation in r."""
    square = bottom**2 - t2 * covariance[1, 1]
    if square <= 0:
        return float("-inf"), float("inf")
    middle = (top * bottom - t2 * covariance[0, 1]) / square
    reach = np.sqrt(max(middle**2 - (top**2 - t2 * covariance[0, 0]) / square, 0.0))
    return float(middle - reach), float(middle + reach)


def iqm(scores: Scores) -> float:
    """Interquartile mean of all scores together: the mean of their middle half, in which a score may lie in part.

    References: Agarwal et al., Deep RL at the Edge of the Statistical Precipice, NeurIPS 2021, section 4.3. Their code
    leaves out whole scores at either end, which is the same where their number divides by 4.
    """
    return float(_middle(np.concatenate([np.asarray(one, np.float64) for one in scores])))


def _middle(values: np.ndarray) -> np.ndarray:
    """Interquartile mean of values [..., n]."""
    n = values.shape[-1]
    inside = np.clip(np.minimum(np.arange(1, n + 1) - n / 4, 3 * n / 4 - np.arange(n)), 0, 1)
    return np.asarray(np.sort(values, axis=-1) @ inside / inside.sum())


def probability_of_improvement(ours: Scores, theirs: Scores) -> float:
    """P(improvement): the chance that a run of ours beats a run of theirs on the same pair, mean over the pairs.

    Equal ones count half: on each pair it is the Mann-Whitney U statistic over its greatest value.

    References: Agarwal et al., NeurIPS 2021, section 4.3.
    """
    return float(np.mean([_wins(np.asarray(a), np.asarray(b)) for a, b in zip(ours, theirs, strict=True)]))


def _wins(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of a [..., n] over b [..., m]."""
    gap = a[..., :, None] - b[..., None, :]
    return np.asarray(((gap > TIE_TOLERANCE) + 0.5 * (np.abs(gap) <= TIE_TOLERANCE)).mean(axis=(-2, -1)))


def iqm_interval(scores: Scores) -> tuple[float, float]:
    """95 % interval of `iqm` by the stratified bootstrap; NaN where there are too few runs for one.

    Within each pair n seeds are drawn with replacement, their distances from the pair's mean being stretched by
    sqrt(n / (n - 1)): the spread of n drawn from n is too small by that, a tenth of the interval with five seeds, and
    as the seeds of every pair are few, no number of pairs makes up for it. For the same reason the percentiles'
    distances from the estimate are stretched as a t quantile is over a normal one, with Satterthwaite's freedom.

    References: Rao and Wu, JASA 1988, section 2.1; Satterthwaite, Biometrics Bulletin 1946.
    """
    if not _enough(scores):
        return float("nan"), float("nan")
    means = [np.mean(one) for one in scores]
    stretched = [
        mean + np.sqrt(len(one) / (len(one) - 1)) * (np.asarray(one, np.float64) - mean)
        for one, mean in zip(scores, means, strict=True)
    ]
    low, high = _percentiles(_middle(np.concatenate(_draws(stretched, 0, 0), axis=1)))
    estimate, wider = iqm(scores), _wider(_iqm_variances(scores), [len(one) - 1 for one in scores])
    return estimate - wider * (estimate - low), estimate + wider * (high - estimate)


def _iqm_variances(scores: Scores) -> np.ndarray:
    """What each pair's seeds contribute to the variance of the interquartile mean, by its influence function."""
    together = np.concatenate([np.asarray(one, np.float64) for one in scores])
    low, high = np.quantile(together, (0.25, 0.75))
    return np.array([np.var(np.clip(one, low, high), ddof=1) * len(one) for one in scores]) * 4 / len(together) ** 2


def _wider(variances: np.ndarray, freedom: Sequence[int]) -> float:
    from scipy.special import ndtri

    return _quantile(variances, freedom) / float(ndtri(1 - SIGNIFICANCE_LEVEL / 2))


def probability_of_improvement_interval(ours: Scores, theirs: Scores) -> tuple[float, float]:
    """95 % interval of `improvement` by the stratified bootstrap of both; NaN where there are too few runs for one.

    Of each pair's n seeds n - 1 are drawn with replacement, which has the spread of a mean of n. Where every run beats
    every other the interval is [1, 1]: that is all that these runs say.

    References: Rao and Wu, JASA 1988, section 2.1.
    """
    if not (_enough(ours) and _enough(theirs)):
        return float("nan"), float("nan")
    pairs = zip(_draws(ours, 0, 1), _draws(theirs, 1, 1), strict=True)
    return _percentiles(np.mean([_wins(a, b) for a, b in pairs], axis=0))


def _enough(scores: Scores) -> bool:
    counts = [len(one) for one in scores]
    return min(counts) > 1 and sum(counts) >= MIN_RUNS


def _draws(scores: Scores, stream: int, fewer: int) -> list[np.ndarray]:
    """Of each pair's n scores, [RESAMPLES, n - fewer] drawn with replacement."""
    noise = np.random.default_rng(stream)  # the same every time, so that a table has the same bytes
    return [noise.choice(np.asarray(one, np.float64), (RESAMPLES, len(one) - fewer)) for one in scores]


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (SIGNIFICANCE_LEVEL / 2, 1 - SIGNIFICANCE_LEVEL / 2))
    return float(low), float(high)
