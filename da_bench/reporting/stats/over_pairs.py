"""Statistics over pairs: rank tests, robust means and their intervals. Accuracies are in [0, 1].

Over pairs the values are not draws from one normal distribution, so tests are signed-rank tests and go by no average
over unlike things; and the pairs are those that they are, so a bootstrap draws seeds within each, never pairs.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.reporting.stats.statistics import TIE_TOLERANCE, Interval

MIN_PAIRS = 6  # a two-sided signed-rank test cannot go below p = .0625 with five pairs
MIN_RUNS = 30  # runs below which a bootstrap interval of an aggregate covers too little
RESAMPLES = 2000
SIGNIFICANCE_LEVEL = 0.05

Scores = Sequence[Sequence[float] | np.ndarray]  # [pairs][seeds]: as many seeds as there are, not the same everywhere


class SignedRank(NamedTuple):
    """Of n paired differences: the Hodges-Lehmann median, its exact interval of at least 95 %, and the test's p.

    low and high are infinite where n is too small for an interval, below ENOUGH_PAIRS.
    """

    median: float
    low: float
    high: float
    p: float
    n: int


def signed_rank(differences: Sequence[float] | np.ndarray) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test of differences [n] against a median of 0, with its estimate and interval.

    Differences below 1e-6 are equal: the test drops them, and where all are, p is 1. Ties share their mean rank. p is
    exact with and without ties: the share of the 2^n signs that give a sum of ranks at least as far from its mean.
    The estimate is the median of the n (n + 1) / 2 means of two (Walsh averages), and the interval leaves out as many
    of them on either side as the test at 5 % allows; without ties and zeros it holds 0 just if p > .05.

    References: Wilcoxon, Biometrics Bulletin 1945; Hodges and Lehmann, Ann. Math. Statist. 1963; Hollander, Wolfe and
    Chicken, Nonparametric Statistical Methods, 2014, section 3.1 to 3.3.

    Raises:
        ValueError: for no differences, or one that is not finite.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"want one or more finite differences, not {differences!r}")
    rows, columns = np.triu_indices(len(values))
    walsh = np.sort((values[rows] + values[columns]) / 2)
    low, high = _bounds(walsh, len(values))
    return SignedRank(float(np.median(walsh)), low, high, _p_value(values), len(values))


def smallest_p(pairs: int) -> float:
    """What no p of a signed-rank test over so many pairs can fall below."""
    return float(2.0 ** (1 - pairs))


def _p_value(values: np.ndarray) -> float:
    kept = values[np.abs(values) > TIE_TOLERANCE]
    if not len(kept):
        return 1.0
    doubled = np.rint(2 * average_ranks(_rounded(np.abs(kept)))).astype(int)  # whole numbers, halves being ties
    chances = _sums(doubled)
    centre = doubled.sum() / 2
    away = abs(doubled[kept > 0].sum() - centre)
    return float(min(1.0, chances[np.abs(np.arange(len(chances)) - centre) >= away].sum()))


def _rounded(values: np.ndarray) -> np.ndarray:
    # accuracies are shares of whole numbers: what differs by less than EQUAL / 10 is one value and rounding
    return np.round(values / TIE_TOLERANCE, 1)


def _sums(ranks: np.ndarray) -> np.ndarray:
    """Chance of each sum of a random half of whole ranks: sums [1 + total]."""
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks:
        chances = (chances + np.concatenate([np.zeros(rank), chances[:-rank]])) / 2
    return chances


def _bounds(walsh: np.ndarray, n: int) -> tuple[float, float]:
    tail = np.cumsum(_sums(np.arange(1, n + 1)))
    outside = int(np.searchsorted(tail, SIGNIFICANCE_LEVEL / 2, side="right"))  # the sums 0 .. outside - 1 are rejected
    if not outside:
        return float("-inf"), float("inf")
    return float(walsh[outside - 1]), float(walsh[-outside])


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1 .. n of values [n], smallest first; equal ones share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def mean_ranks(accuracy: np.ndarray) -> np.ndarray:
    """Mean rank over pairs of each method, accuracy [methods, pairs]; 1 is the best, those within 1e-6 share a rank."""
    return np.mean([average_ranks(-_rounded(column)) for column in accuracy.T], axis=0)


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """p [k] of k tests, adjusted so that the chance of any false claim at 5 % is at most 5 %; NaN is no test.

    Sorted upwards, the i-th of k is multiplied by k - i + 1, never falls below the one before, and is at most 1.

    References: Holm, Scand. J. Statist. 1979.
    """
    p = np.asarray(p, np.float64)
    adjusted, tests = np.full(len(p), np.nan), np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def pairwise_holm(accuracy: np.ndarray) -> np.ndarray:
    """Holm-adjusted p [k, k] of signed-rank tests between all k (k - 1) / 2 pairs of methods; accuracy [k, pairs].

    Unlike the post-hoc tests on mean ranks, whether two methods differ does not depend on the other methods' ranks.

    References: Benavoli, Corani and Mangili, JMLR 2016, section 4.
    """
    count = len(accuracy)
    which = list(itertools.combinations(range(count), 2))
    adjusted = holm([_p_value(accuracy[i] - accuracy[j]) for i, j in which])
    matrix = np.ones((count, count))
    for (i, j), p in zip(which, adjusted, strict=True):
        matrix[i, j] = matrix[j, i] = p
    return matrix


def cliques(joined: np.ndarray) -> list[tuple[int, ...]]:
    """Largest groups of two or more all of whom are joined to each other; joined [k, k], symmetric; sorted.

    References: Bron and Kerbosch, CACM 1973, with a pivot.
    """
    near = [{j for j in np.flatnonzero(row) if j != i} for i, row in enumerate(joined)]
    found: list[tuple[int, ...]] = []

    def grow(group: tuple[int, ...], might: set[int], done: set[int]) -> None:
        if not might and not done:
            found.append(tuple(sorted(int(i) for i in group)))
            return
        pivot = max(might | done, key=lambda i: len(near[i] & might))
        for i in sorted(might - near[pivot]):
            grow((*group, i), might & near[i], done & near[i])
            might, done = might - {i}, done | {i}

    grow((), set(range(len(joined))), set())
    return sorted(group for group in found if len(group) > 1)


def probability_better(wins: int, losses: int) -> float:
    """Chance that a classifier is truly the better of two that differ on `wins` + `losses` of one test set's rows.

    wins, losses: rows on which it alone is right, and wrong. P(p > q) of the two shares p and q under their Dirichlet
    posterior from a uniform prior, in which rows that both get right or wrong have no part: 1/2 where they are equal.

    References: Lacoste, Laviolette and Marchand, Bayesian Comparison of Machine Learning Algorithms on Single and
    Multiple Datasets, AISTATS 2012, section 3.
    """
    from scipy.special import betainc

    return float(betainc(losses + 1, wins + 1, 0.5))


def probability_better_on_most(chances: Sequence[float]) -> float:
    """Chance that more than half of independent events of such chances happen, one half exactly counting half.

    The Poisson-binomial test of `beats` over pairs; with every chance 1/2 it is 1/2.

    References: Lacoste, Laviolette and Marchand, AISTATS 2012, section 4.
    """
    counts = np.ones(1)
    for chance in chances:
        counts = np.convolve(counts, [1 - chance, chance])
    half = len(chances) / 2
    wins = np.arange(len(counts))
    return float(counts[wins > half].sum() + counts[wins == half].sum() / 2)


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
