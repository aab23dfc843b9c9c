"""Interquartile means, probabilities of improvement and their bootstrap intervals."""

import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats import aggregates
from da_bench.reporting.stats.aggregates import (
    iqm,
    iqm_interval,
    probability_of_improvement,
    probability_of_improvement_interval,
)


def test_iqm():
    scores = np.random.default_rng(7).uniform(size=(4, 5))
    assert iqm(scores) == pytest.approx(stats.trim_mean(scores, 0.25, axis=None))  # 20 divides by 4
    assert iqm([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]]) == pytest.approx((0.5 * 2 + 3 + 4 + 0.5 * 5) / 3)
    assert iqm([[0.0, 0.0, 5.0, 100.0]]) == 2.5


def test_improvement_is_the_mann_whitney_statistic():
    noise = np.random.default_rng(8)
    a, b = noise.integers(0, 5, (2, 4, 6)) / 10
    shares = [stats.mannwhitneyu(x, y).statistic / 36 for x, y in zip(a, b, strict=True)]
    assert probability_of_improvement(a, b) == pytest.approx(np.mean(shares))
    assert probability_of_improvement([[0.5, 0.6]], [[0.1]]) == 1.0


def test_intervals_need_thirty_runs_and_are_the_same_each_time():
    scores = np.random.default_rng(9).uniform(size=(6, 5))
    assert np.isnan(iqm_interval(scores[:5])).all()
    assert np.isnan(iqm_interval(scores.reshape(30, 1))).all()
    assert np.isnan(probability_of_improvement_interval(scores, scores[:, :1])).all()
    assert iqm_interval(scores) == iqm_interval(scores)
    low, high = iqm_interval(scores)
    assert low < iqm(scores) < high


def test_equal_runs_have_an_interval_without_width():
    scores = [[0.5] * 5, [0.6] * 5] * 3
    assert iqm_interval(scores) == pytest.approx((iqm(scores), iqm(scores)))


def coverage(pairs, seeds, studies):
    """Shares of studies whose intervals contain the truth: (interquartile mean, P(improvement))."""
    noise = np.random.default_rng(10)
    means, spread = noise.uniform(0.4, 0.9, pairs), noise.uniform(0.005, 0.03, pairs)
    middle = iqm(noise.normal(means[:, None], spread[:, None], (pairs, 20_000)))
    better = float(np.mean(stats.norm.cdf(0.01 / (np.sqrt(2) * spread))))
    covered = []
    for _ in range(studies):
        values = noise.normal(means[:, None] + 0.01, spread[:, None], (pairs, seeds))
        baseline = noise.normal(means[:, None], spread[:, None], (pairs, seeds))
        intervals = iqm_interval(baseline), probability_of_improvement_interval(values, baseline)
        covered.append([low <= true <= high for (low, high), true in zip(intervals, (middle, better), strict=True)])
    return np.mean(covered, axis=0)


def test_bootstrap_intervals_cover(monkeypatch):
    monkeypatch.setattr(aggregates, "RESAMPLES", 300)
    assert coverage(12, 5, 400) == pytest.approx(0.95, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize(("pairs", "seeds"), [(6, 5), (12, 5), (6, 10), (30, 5)])
def test_bootstrap_intervals_cover_95_percent(pairs, seeds, monkeypatch):
    monkeypatch.setattr(aggregates, "RESAMPLES", 1000)
    middle, better = coverage(pairs, seeds, 4000)
    assert middle == pytest.approx(0.95, abs=0.015)
    assert 0.94 <= better <= 0.98  # its statistic has few values, and errs on the wide side
