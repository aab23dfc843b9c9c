"""Rank tests over domain pairs: Wilcoxon signed rank with ties, Holm, mean ranks and cliques."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE

MIN_PAIRS = 6  # a two-sided signed-rank test cannot go below p = .0625 with five pairs

SIGNIFICANCE_LEVEL = 0.05


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
