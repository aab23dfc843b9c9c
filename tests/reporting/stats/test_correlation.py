"""Rank correlations against scipy."""

import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats.correlation import kendall, spearman


@pytest.mark.parametrize("digits", [0, 1, 9])  # with many ties, some, none
@pytest.mark.parametrize(("correlation", "oracle"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)])
def test_correlations_are_those_of_scipy_with_what_is_not_finite_at_the_bottom(correlation, oracle, digits, rng):
    accuracy, scores = rng.normal(size=(2, 9)).round(digits)
    assert correlation(scores, accuracy) == pytest.approx(oracle(scores, accuracy).statistic)
    for hole in (np.nan, -np.inf):
        holed, low = (np.where(np.arange(9) == 4, value, scores) for value in (hole, -99))
        assert correlation(holed, accuracy) == pytest.approx(correlation(low, accuracy))
    assert np.isnan(
        [correlation(np.ones(9), accuracy), correlation(scores, np.ones(9)), correlation(scores[:1], accuracy[:1])]
    ).all()
    assert np.isnan(correlation(np.full(9, np.nan), accuracy))
