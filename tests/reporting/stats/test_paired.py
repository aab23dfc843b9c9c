"""Paired t tests, verdicts and the closed gap."""

import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats.paired import PairedTest, gain_verdict, gap_closed, paired_t_test


def test_equal_methods_are_called_different_in_5_percent_of_cases():
    noise = np.random.default_rng(1)
    a, b = noise.normal(0.7, 0.02, (2, 20_000, 5))
    verdicts = [gain_verdict(paired_t_test(*pair)) for pair in zip(a, b, strict=True)]
    assert verdicts.count("gain") + verdicts.count("negative transfer") == pytest.approx(
        0.05 * 20_000, abs=0.01 * 20_000
    )


def test_paired_t_test_equals_scipys():
    noise = np.random.default_rng(2)
    for n in (2, 3, 5, 32):
        a, b = noise.normal(0.7, 0.02, (2, n))
        oracle = stats.ttest_rel(a, b)
        interval = oracle.confidence_interval(0.95)
        result = paired_t_test(a, b)
        assert result.p == pytest.approx(oracle.pvalue, rel=1e-9)
        assert result.mean - result.half_width == pytest.approx(interval.low, rel=1e-9)
        assert result.mean + result.half_width == pytest.approx(interval.high, rel=1e-9)
        assert result.n == n


def test_equal_runs_are_a_tie_and_constant_differences_untested():
    assert paired_t_test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]) == PairedTest(0.0, 0.0, 1.0, 3)
    # What float32 makes of equal differences: no spread, hence no test, and no certainty out of rounding.
    a, b = np.float32([0.9, 0.8, 0.7]), np.float32([0.8, 0.7, 0.6])
    assert np.ptp(a.astype(float) - b.astype(float)) > 0
    assert gain_verdict(paired_t_test(a, b)) == "untested"
    assert np.isnan(paired_t_test(a, b).p)


def test_one_pair_is_no_test():
    result = paired_t_test([0.9], [0.5])
    assert result.mean == pytest.approx(0.4)
    assert np.isnan(result.p)
    assert gain_verdict(result) == "untested"


def test_pairs_must_match():
    with pytest.raises(ValueError, match="as many"):
        paired_t_test([0.5, 0.6], [0.5, 0.6, 0.7])


@pytest.mark.parametrize(
    ("mean", "half_width", "expected"),
    [
        (0.02, 0.01, "gain"),
        (0.02, 0.03, "inside noise"),
        (-0.02, 0.01, "negative transfer"),
        (0.0, 0.0, "inside noise"),
    ],
)
def test_verdict_depends_on_the_whole_interval(mean, half_width, expected):
    assert gain_verdict(PairedTest(mean, half_width, 0.5, 5)) == expected


def test_gap_closed_by_hand():
    assert gap_closed(0.7, 0.6, 0.8) == pytest.approx(0.5)
    assert gap_closed(0.5, 0.6, 0.8) == pytest.approx(-0.5)
    assert np.isnan(gap_closed(0.7, 0.8, 0.8))
    assert np.isnan(gap_closed(0.7, 0.8, 0.6))
