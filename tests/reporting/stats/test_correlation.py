"""Rank correlations by hand, and with scores that are not finite."""

import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats.correlation import kendall, spearman


@pytest.mark.parametrize("digits", [0, 1, 9])  # with many ties, some, none
@pytest.mark.parametrize(("correlation", "oracle"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)])
def test_scores_that_are_not_finite_rank_last_and_constants_have_no_correlation(correlation, oracle, digits, rng):
    accuracy, scores = rng.normal(size=(2, 9)).round(digits)
    assert correlation(scores, accuracy) == pytest.approx(oracle(scores, accuracy).statistic)
    for hole in (np.nan, -np.inf):
        holed, low = (np.where(np.arange(9) == 4, value, scores) for value in (hole, -99))
        assert correlation(holed, accuracy) == pytest.approx(correlation(low, accuracy))
    assert np.isnan(
        [correlation(np.ones(9), accuracy), correlation(scores, np.ones(9)), correlation(scores[:1], accuracy[:1])]
    ).all()
    assert np.isnan(correlation(np.full(9, np.nan), accuracy))


def test_rank_correlations_by_hand():
    scores, accuracy = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.1, 0.3, 0.2, 0.4])
    assert spearman(scores, accuracy) == pytest.approx(1 - 6 * 2 / (4 * 15))  # squared rank differences: 0, 1, 1, 0
    assert kendall(scores, accuracy) == pytest.approx((5 - 1) / 6)  # five concordant pairs, one discordant
    tied = np.array([1.0, 1.0, 2.0])
    assert kendall(tied, np.array([0.1, 0.2, 0.3])) == pytest.approx(2 / np.sqrt((3 - 1) * 3))  # tau-b: one tie
    assert spearman(np.array([0.1, 0.2]), np.array([0.4, 0.3])) == pytest.approx(-1)
    assert kendall(np.array([0.1, 0.2]), np.array([0.4, 0.3])) == pytest.approx(-1)
