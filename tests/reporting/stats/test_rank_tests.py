"""Signed-rank tests, Holm's adjustment, mean ranks and cliques."""

import itertools

import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats.rank_tests import (
    _p_value,
    cliques,
    holm,
    mean_ranks,
    pairwise_holm,
    signed_rank,
)


def test_signed_rank_by_hand():
    # ranks 1 2 3 4 5 6, the 2 negative: W- = 2. Of 64 signs, sums up to 2 are {}, {1}, {2}: p = 2 * 3 / 64
    result = signed_rank([0.01, -0.02, 0.03, 0.04, 0.05, 0.06])
    assert result.p == pytest.approx(6 / 64)
    assert signed_rank([0.01, 0.02, 0.03, 0.04, 0.05, 0.06]).p == pytest.approx(2 / 64)
    assert signed_rank([0.1, 0.2, 0.3, 0.4, 0.5]).p == pytest.approx(0.0625)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 12, 30])
def test_p_equals_scipys(n):
    differences = np.random.default_rng(n).normal(0.02, 0.05, n)
    assert signed_rank(differences).p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize("differences", [[1, 1, -1, 2, 2, 3], [1, -1, 2, -2, 4, 0, 0], [2, 2, 2, 2, 2, 2, -2]])
def test_p_with_ties_equals_the_count_over_all_signs(differences):
    nonzero = np.array([value for value in differences if value])
    ranks = stats.rankdata(np.abs(nonzero))
    away = [abs(ranks @ np.array(signs)) for signs in itertools.product((1, -1), repeat=len(nonzero))]
    share = np.mean(np.array(away) >= abs(ranks @ np.sign(nonzero)))
    assert signed_rank(0.01 * np.array(differences)).p == pytest.approx(share)


def test_equal_runs_have_p_1():
    result = signed_rank([0.0] * 8)
    assert result == (0.0, 0.0, 0.0, 1.0, 8)


def test_ties_survive_rounding():
    differences = np.float32([0.9, 0.8, 0.7, 0.4, 0.3, 0.2]).astype(float) - np.float32([0.8, 0.7, 0.6, 0.5, 0.2, 0.1])
    assert signed_rank(differences).p == signed_rank([1, 1, 1, -1, 1, 1]).p


def test_interval_of_the_median_by_hand():
    # n = 6: 2 P(W <= 0) = 2 / 64 < .05 < 2 P(W <= 1) = 4 / 64, so it is from the least Walsh average to the greatest
    values = [0.01, -0.02, 0.03, 0.04, 0.05, 0.06]
    result = signed_rank(values)
    assert (result.low, result.high) == pytest.approx((-0.02, 0.06))
    # n = 12, from tables of the signed-rank test: P(W <= 13) = .0212, P(W <= 14) = .0261: 14 are left out a side
    values = np.random.default_rng(0).normal(size=12)
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    result = signed_rank(values)
    assert (result.low, result.high) == pytest.approx((walsh[13], walsh[-14]))
    assert result.median == pytest.approx(np.median(walsh))


def test_no_interval_and_no_claim_below_six_pairs():
    for n in range(1, 6):
        result = signed_rank(np.arange(1, n + 1))
        assert result.p > 0.05
        assert (result.low, result.high) == (-np.inf, np.inf)


def test_interval_contains_zero_if_and_only_if_p_is_above_5_percent():
    noise = np.random.default_rng(3)
    significant = []
    for _ in range(300):
        result = signed_rank(noise.normal(0.7, 1.0, 9))
        significant.append(result.p <= 0.05)
        assert (result.low > 0 or result.high < 0) == significant[-1]
    assert 0.2 < np.mean(significant) < 0.8


def test_interval_of_the_median_has_its_exact_coverage():
    # n = 8: P(W <= 3) = 5 / 256, so 1 - 10 / 256 = .961
    samples = np.random.default_rng(11).standard_t(3, (3000, 8)) + 0.7
    covered = [result.low <= 0.7 <= result.high for result in map(signed_rank, samples)]
    assert np.mean(covered) == pytest.approx(1 - 10 / 256, abs=0.012)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [[0.1, 0.2]]])
def test_invalid_differences_raise(values):
    with pytest.raises(ValueError, match="finite"):
        signed_rank(values)


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, the last lifted to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    result = holm([0.01, float("nan"), 0.04])
    assert result[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(result[1])
    assert holm([]).size == 0


def test_holm_claims_falsely_in_at_most_5_percent_of_families():
    p = np.random.default_rng(4).uniform(size=(4000, 6))
    assert np.mean([holm(family).min() < 0.05 for family in p]) == pytest.approx(0.05, abs=0.01)


def test_mean_ranks_by_hand():
    accuracy = np.array([[0.9, 0.8, 0.7], [0.9 + 1e-9, 0.7, 0.8], [0.1, 0.9, 0.1]])
    assert mean_ranks(accuracy) == pytest.approx([(1.5 + 2 + 2) / 3, (1.5 + 3 + 1) / 3, (3 + 1 + 3) / 3])


def test_pairwise_holm_equals_three_tests_corrected_together():
    noise = np.random.default_rng(5)
    accuracy = noise.normal([[0.5], [0.52], [0.9]], 0.02, (3, 8))
    p = [stats.wilcoxon(accuracy[i], accuracy[j], method="exact").pvalue for i, j in ((0, 1), (0, 2), (1, 2))]
    matrix = pairwise_holm(accuracy)
    assert matrix[0, 2] == pytest.approx(3 * p[1])
    assert [matrix[0, 1], matrix[0, 2], matrix[1, 2]] == pytest.approx(holm(p))
    assert np.array_equal(matrix, matrix.T)


def test_whether_two_differ_does_not_depend_on_the_pool():
    noise = np.random.default_rng(6)
    two = noise.normal([[0.5], [0.6]], 0.01, (2, 12))
    pools = [np.vstack([two, noise.normal(level, 0.2, (6, 12))]) for level in (0.1, 0.55)]
    p = [_p_value(pool[0] - pool[1]) for pool in pools]
    assert p[0] == p[1] == pytest.approx(2 / 2**12)


@pytest.mark.parametrize("seed", range(6))
def test_cliques_equal_brute_force(seed):
    upper = np.triu(np.random.default_rng(seed).uniform(size=(7, 7)) < 0.5, 1)
    joined = upper | upper.T
    complete = [
        group
        for size in range(2, 8)
        for group in itertools.combinations(range(7), size)
        if all(joined[i, j] for i, j in itertools.combinations(group, 2))
    ]
    largest = [group for group in complete if not any(set(group) < set(other) for other in complete)]
    assert cliques(joined) == sorted(largest)
