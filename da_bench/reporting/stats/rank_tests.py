"""Rank tests over domain pairs: Wilcoxon's signed-rank test with ties, Holm's adjustment, mean ranks and cliques.

Results on different pairs are not draws from one normal distribution, so tests over pairs use ranks.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.reporting.stats.intervals import TIE_TOLERANCE

MIN_PAIRS = 6  # with five pairs a two-sided signed-rank test cannot go below p = .0625
SIGNIFICANCE_LEVEL = 0.05


class SignedRank(NamedTuple):
    """Result of a signed-rank test of n paired differences.

    Attributes:
        median: Hodges-Lehmann estimate of the median difference.
        low: lower end of its exact interval of at least 95 %; -inf for fewer than MIN_PAIRS differences.
        high: upper end; inf for fewer than MIN_PAIRS differences.
        p: p-value of the two-sided test.
        n: number of differences.
    """

    median: float
    low: float
    high: float
    p: float
    n: int


def signed_rank(differences: Sequence[float] | np.ndarray) -> SignedRank:
    """Two-sided Wilcoxon signed-rank test against a median of 0, with the Hodges-Lehmann estimate and its interval.

    Differences up to 1e-6 count as zero. The test drops zeros; if all are zero, p is 1. Tied differences share their
    average rank. p is exact with and without ties: the share of the 2^n assignments of signs whose sum of ranks is at
    least as far from its mean. The estimate is the median of the n (n + 1) / 2 Walsh averages (means of two
    differences). The interval leaves out as many of them on either side as the test at 5 % allows. Without ties and
    zeros it contains 0 if and only if p > .05.

    Args:
        differences: paired differences [n].

    Returns:
        Estimate, interval and p-value.

    Raises:
        ValueError: no differences, or one that is not finite.

    References: Wilcoxon, Biometrics Bulletin 1945; Hodges and Lehmann, Ann. Math. Statist. 1963; Hollander, Wolfe and
    Chicken, Nonparametric Statistical Methods, 2014, sections 3.1 to 3.3.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected one or more finite differences, got {differences!r}")
    rows, columns = np.triu_indices(len(values))
    walsh_averages = np.sort((values[rows] + values[columns]) / 2)
    low, high = _median_interval(walsh_averages, len(values))
    return SignedRank(float(np.median(walsh_averages)), low, high, _p_value(values), len(values))


def smallest_p(pairs: int) -> float:
    """Smallest p-value that a signed-rank test over so many pairs can give."""
    return float(2.0 ** (1 - pairs))


def mean_ranks(accuracy: np.ndarray) -> np.ndarray:
    """Mean rank of each method over pairs; 1 is best, accuracies within 1e-6 share a rank.

    Args:
        accuracy: accuracies [methods, pairs].

    Returns:
        Mean ranks [methods].
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(-_round_to_ties(accuracy), axis=0).mean(axis=1))


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjustment of k p-values: the probability of any false claim at 5 % is at most 5 %.

    Sorted upwards, the i-th of k is multiplied by k - i + 1, is at least the one before, and is at most 1.

    Args:
        p: p-values [k]; NaN marks a test that was not made and does not count.

    Returns:
        Adjusted p-values [k].

    References: Holm, Scand. J. Statist. 1979.
    """
    p = np.asarray(p, np.float64)
    adjusted, tests = np.full(len(p), np.nan), np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return adjusted


def pairwise_holm(accuracy: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values of signed-rank tests between all k (k - 1) / 2 pairs of methods.

    Unlike in post-hoc tests on mean ranks, whether two methods differ does not depend on the other methods' ranks.

    Args:
        accuracy: accuracies [k, pairs].

    Returns:
        Symmetric matrix [k, k] with ones on the diagonal.

    References: Benavoli, Corani and Mangili, JMLR 2016, section 4.
    """
    count = len(accuracy)
    index_pairs = list(itertools.combinations(range(count), 2))
    adjusted = holm([_p_value(accuracy[i] - accuracy[j]) for i, j in index_pairs])
    matrix = np.ones((count, count))
    for (i, j), p in zip(index_pairs, adjusted, strict=True):
        matrix[i, j] = matrix[j, i] = p
    return matrix


def cliques(adjacency: np.ndarray) -> list[tuple[int, ...]]:
    """Maximal cliques of two or more nodes.

    Args:
        adjacency: symmetric boolean matrix [k, k].

    Returns:
        Sorted tuples of node indices.

    References: Bron and Kerbosch, CACM 1973, with a pivot.
    """
    neighbours = [{j for j in np.flatnonzero(row) if j != i} for i, row in enumerate(adjacency)]
    maximal: list[tuple[int, ...]] = []

    def extend(clique: tuple[int, ...], candidates: set[int], excluded: set[int]) -> None:
        if not candidates and not excluded:
            maximal.append(tuple(sorted(int(i) for i in clique)))
            return
        pivot = max(candidates | excluded, key=lambda i: len(neighbours[i] & candidates))
        for i in sorted(candidates - neighbours[pivot]):
            extend((*clique, i), candidates & neighbours[i], excluded & neighbours[i])
            candidates, excluded = candidates - {i}, excluded | {i}

    extend((), set(range(len(adjacency))), set())
    return sorted(clique for clique in maximal if len(clique) > 1)


def _p_value(differences: np.ndarray) -> float:
    from scipy.stats import rankdata

    nonzero = differences[np.abs(differences) > TIE_TOLERANCE]
    if not len(nonzero):
        return 1.0
    doubled_ranks = np.rint(2 * rankdata(_round_to_ties(np.abs(nonzero)))).astype(int)  # tied ranks may be halves
    distribution = _rank_sum_distribution(doubled_ranks)
    centre = doubled_ranks.sum() / 2
    distance = abs(doubled_ranks[nonzero > 0].sum() - centre)
    return float(min(1.0, distribution[np.abs(np.arange(len(distribution)) - centre) >= distance].sum()))


def _round_to_ties(values: np.ndarray) -> np.ndarray:
    # Accuracies are shares of whole numbers: values closer than a tenth of the tolerance differ by rounding only.
    return np.round(values / TIE_TOLERANCE, 1)


def _rank_sum_distribution(ranks: np.ndarray) -> np.ndarray:
    """Probability of each sum 0 .. total of a random subset of integer ranks: [1 + total]."""
    distribution = np.zeros(int(ranks.sum()) + 1)
    distribution[0] = 1.0
    for rank in ranks:
        distribution = (distribution + np.concatenate([np.zeros(rank), distribution[:-rank]])) / 2
    return distribution


def _median_interval(walsh_averages: np.ndarray, n: int) -> tuple[float, float]:
    cumulative = np.cumsum(_rank_sum_distribution(np.arange(1, n + 1)))
    rejected = int(np.searchsorted(cumulative, SIGNIFICANCE_LEVEL / 2, side="right"))  # sums 0 .. rejected - 1
    if not rejected:
        return float("-inf"), float("inf")
    return float(walsh_averages[rejected - 1]), float(walsh_averages[-rejected])
