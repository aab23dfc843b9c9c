"""Aggregates over domain pairs with 95 % intervals: mean, ratio, interquartile mean, probability of improvement.

The pairs are fixed, not drawn from a population. Intervals therefore describe the seeds within each pair, and a
bootstrap draws seeds, never pairs.
"""

from collections.abc import Sequence

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE, Interval, t_quantile
from da_bench.reporting.stats.rank_tests import SIGNIFICANCE_LEVEL

MIN_RUNS = 30  # with fewer runs the bootstrap interval of an aggregate covers too little
RESAMPLES = 2000

Scores = Sequence[Sequence[float] | np.ndarray]  # [pairs][seeds]; pairs may have different numbers of seeds


def mean_interval(scores: Scores) -> Interval:
    """Mean over pairs of the means over seeds, with its t interval.

    The variance of the mean is the sum of the pairs' variances over the square of the number of pairs. The degrees of
    freedom are Satterthwaite's.

    Args:
        scores: values [pairs][seeds].

    Returns:
        The interval, whose n is the number of pairs; half_width is NaN if a pair has a single seed.

    References: Welch, Biometrika 1938; Satterthwaite, Biometrics Bulletin 1946.
    """
    variances = _variances_of_means(scores)
    mean = float(np.mean([np.mean(pair) for pair in scores]))
    if np.isnan(variances).any():
        return Interval(mean, float("nan"), len(scores))
    quantile = _satterthwaite_quantile(variances, scores)
    return Interval(mean, quantile * float(np.sqrt(variances.sum())) / len(scores), len(scores))


def ratio_interval(numerators: Scores, denominators: Scores) -> tuple[float, float, float]:
    """Ratio of two means over pairs and seeds, with its 95 % interval by Fieller's theorem.

    The interval contains every ratio r for which the mean of numerator - r denominator does not differ from 0. The t
    quantile is that at the estimated ratio.

    Args:
        numerators: values [pairs][seeds].
        denominators: other values of the same runs, [pairs][seeds].

    Returns:
        (ratio, low, high). The interval is infinite if the denominator could be 0, and NaN with a single seed.

    References: Fieller, JRSS B 1954, section 2.
    """
    pairs = [np.stack([np.asarray(a, np.float64), b]) for a, b in zip(numerators, denominators, strict=True)]
    numerator, denominator = np.mean([pair.mean(axis=1) for pair in pairs], axis=0)
    ratio = float(numerator / denominator)
    if min(pair.shape[1] for pair in pairs) < 2:
        return ratio, float("nan"), float("nan")
    covariance = np.sum([np.cov(pair) / pair.shape[1] for pair in pairs], axis=0) / len(pairs) ** 2
    residuals = [pair[0] - ratio * pair[1] for pair in pairs]
    squared_quantile = _satterthwaite_quantile(_variances_of_means(residuals), residuals) ** 2
    return ratio, *_fieller_roots(numerator, denominator, covariance, squared_quantile)


def iqm(scores: Scores) -> float:
    """Interquartile mean of all scores: the mean of their middle half. A score at its edge counts in part.

    Args:
        scores: values [pairs][seeds].

    References: Agarwal et al., Deep RL at the Edge of the Statistical Precipice, NeurIPS 2021, section 4.3. Their code
    leaves out whole scores at either end, which gives the same if the number of scores is a multiple of 4.
    """
    return float(_interquartile_mean(_flatten(scores)))


def iqm_interval(scores: Scores) -> tuple[float, float]:
    """95 % interval of `iqm` by the stratified bootstrap.

    Within each pair n seeds are drawn with replacement from n. Their spread is too small by a factor of
    sqrt((n - 1) / n), a tenth of the interval with five seeds, however many pairs there are; so the distances from the
    pair's mean are stretched by sqrt(n / (n - 1)). For the same reason the distances of the percentiles from the
    estimate are stretched by the ratio of a t quantile, with Satterthwaite's degrees of freedom, to a normal one.

    Args:
        scores: values [pairs][seeds].

    Returns:
        (low, high); NaN if a pair has a single seed or there are fewer than MIN_RUNS runs.

    References: Rao and Wu, JASA 1988, section 2.1; Satterthwaite, Biometrics Bulletin 1946.
    """
    if not _enough_runs(scores):
        return float("nan"), float("nan")
    stretched = []
    for pair in scores:
        mean = np.mean(pair)
        stretched.append(mean + np.sqrt(len(pair) / (len(pair) - 1)) * (np.asarray(pair, np.float64) - mean))
    low, high = _percentiles(_interquartile_mean(np.concatenate(_resample(stretched, seed=0), axis=1)))
    estimate = iqm(scores)
    stretch = _satterthwaite_quantile(_iqm_variances(scores), scores) / _normal_quantile()
    return estimate - stretch * (estimate - low), estimate + stretch * (high - estimate)


def probability_of_improvement(scores: Scores, baseline: Scores) -> float:
    """Probability that a run beats a run of the baseline on the same pair, mean over the pairs.

    Equal runs count half. On each pair it is the Mann-Whitney U statistic divided by its maximum.

    Args:
        scores: values [pairs][seeds] of the method.
        baseline: values [pairs][seeds] of the baseline, on the same pairs.

    Returns:
        Probability in [0, 1].

    References: Agarwal et al., NeurIPS 2021, section 4.3.
    """
    return float(np.mean([_win_rate(np.asarray(a), np.asarray(b)) for a, b in zip(scores, baseline, strict=True)]))


def probability_of_improvement_interval(scores: Scores, baseline: Scores) -> tuple[float, float]:
    """95 % interval of `probability_of_improvement` by the stratified bootstrap of both.

    Of each pair's n seeds n - 1 are drawn with replacement, which has the spread of a mean of n. If every run beats
    every run of the baseline the interval is [1, 1]: these runs say no more.

    Args:
        scores: values [pairs][seeds] of the method.
        baseline: values [pairs][seeds] of the baseline, on the same pairs.

    Returns:
        (low, high); NaN if a pair has a single seed or either has fewer than MIN_RUNS runs.

    References: Rao and Wu, JASA 1988, section 2.1.
    """
    if not (_enough_runs(scores) and _enough_runs(baseline)):
        return float("nan"), float("nan")
    resamples = zip(_resample(scores, seed=0, fewer=1), _resample(baseline, seed=1, fewer=1), strict=True)
    return _percentiles(np.mean([_win_rate(a, b) for a, b in resamples], axis=0))


def _flatten(scores: Scores) -> np.ndarray:
    return np.concatenate([np.asarray(pair, np.float64) for pair in scores])


def _variances_of_means(scores: Scores) -> np.ndarray:
    """Variance of each pair's mean over seeds [pairs]; NaN for a single seed."""
    return np.array([np.var(pair, ddof=1) / len(pair) if len(pair) > 1 else np.nan for pair in scores])


def _satterthwaite_quantile(variances: np.ndarray, scores: Scores) -> float:
    """97.5 % t quantile for a sum of variances [pairs], with Satterthwaite's degrees of freedom."""
    if not variances.any():
        return _normal_quantile()
    freedom = np.asarray([len(pair) - 1 for pair in scores])
    return t_quantile(float(variances.sum() ** 2 / np.sum(variances**2 / freedom)))


def _normal_quantile() -> float:
    from scipy.special import ndtri

    return float(ndtri(1 - SIGNIFICANCE_LEVEL / 2))


def _fieller_roots(
    numerator: float, denominator: float, covariance: np.ndarray, squared_quantile: float
) -> tuple[float, float]:
    """Roots r of (numerator - r denominator)^2 = t^2 var(numerator - r denominator)."""
    leading = denominator**2 - squared_quantile * covariance[1, 1]
    if leading <= 0:
        return float("-inf"), float("inf")
    middle = (numerator * denominator - squared_quantile * covariance[0, 1]) / leading
    product = (numerator**2 - squared_quantile * covariance[0, 0]) / leading
    half_width = np.sqrt(max(middle**2 - product, 0.0))
    return float(middle - half_width), float(middle + half_width)


def _interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Interquartile mean of values [..., n]."""
    n = values.shape[-1]
    weights = np.clip(np.minimum(np.arange(1, n + 1) - n / 4, 3 * n / 4 - np.arange(n)), 0, 1)
    return np.asarray(np.sort(values, axis=-1) @ weights / weights.sum())


def _iqm_variances(scores: Scores) -> np.ndarray:
    """Contribution of each pair's seeds to the variance of the interquartile mean, by its influence function."""
    values = _flatten(scores)
    low, high = np.quantile(values, (0.25, 0.75))
    return np.array([np.var(np.clip(pair, low, high), ddof=1) * len(pair) for pair in scores]) * 4 / len(values) ** 2


def _win_rate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Share of wins of a [..., n] over b [..., m]; ties count half."""
    gap = a[..., :, None] - b[..., None, :]
    return np.asarray(((gap > TIE_TOLERANCE) + 0.5 * (np.abs(gap) <= TIE_TOLERANCE)).mean(axis=(-2, -1)))


def _enough_runs(scores: Scores) -> bool:
    counts = [len(pair) for pair in scores]
    return min(counts) > 1 and sum(counts) >= MIN_RUNS


def _resample(scores: Scores, seed: int, fewer: int = 0) -> list[np.ndarray]:
    """Draw n - fewer of each pair's n scores with replacement: [RESAMPLES, n - fewer] per pair."""
    rng = np.random.default_rng(seed)  # fixed, so that a table has the same bytes every time
    return [rng.choice(np.asarray(pair, np.float64), (RESAMPLES, len(pair) - fewer)) for pair in scores]


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, (SIGNIFICANCE_LEVEL / 2, 1 - SIGNIFICANCE_LEVEL / 2))
    return float(low), float(high)
