import numpy as np
import pytest
from scipy import stats

from da_bench.reporting.stats.correlation import kendall, spearman
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.stats.paired import PairedTest, gain_verdict, gap_closed, paired_t_test


def test_t_interval_by_hand():
    # mean 2, s = 1, t(0.975, 2) = 4.302653 (any t table): 4.302653 / sqrt(3) = 2.484138
    mean, half_width, n = t_interval([1.0, 2.0, 3.0])
    assert (mean, n) == (2.0, 3)
    assert half_width == pytest.approx(2.484138, abs=1e-6)


def test_t_interval_of_one_and_of_equal_values():
    assert np.isnan(t_interval([0.7]).half_width)
    assert t_interval([0.1, 0.1, 0.1]).half_width == 0


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")], [[0.1, 0.2]]])
def test_values_that_are_no_sample_raise(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


def test_t_interval_covers_95_percent_with_five_seeds():
    samples = np.random.default_rng(0).normal(0.7, 0.02, (20_000, 5))
    intervals = np.array([t_interval(sample)[:2] for sample in samples])
    covered = np.abs(intervals[:, 0] - 0.7) <= intervals[:, 1]
    assert covered.mean() == pytest.approx(0.95, abs=0.01)


def test_equal_methods_are_called_different_in_5_percent_of_cases():
    noise = np.random.default_rng(1)
    a, b = noise.normal(0.7, 0.02, (2, 20_000, 5))
    said = [gain_verdict(paired_t_test(one, other)) for one, other in zip(a, b, strict=True)]
    assert said.count("gain") + said.count("negative transfer") == pytest.approx(0.05 * 20_000, abs=0.01 * 20_000)


def test_paired_is_the_test_of_scipy():
    noise = np.random.default_rng(2)
    for n in (2, 3, 5, 32):
        a, b = noise.normal(0.7, 0.02, (2, n))
        oracle = stats.ttest_rel(a, b)
        interval = oracle.confidence_interval(0.95)
        found = paired_t_test(a, b)
        assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
        assert found.mean - found.half_width == pytest.approx(interval.low, rel=1e-9)
        assert found.mean + found.half_width == pytest.approx(interval.high, rel=1e-9)
        assert found.n == n


def test_pairs_that_are_the_same_run():
    assert paired_t_test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]) == PairedTest(0.0, 0.0, 1.0, 3)
    # What float32 makes of equal differences: no spread, hence no test, and no certainty out of rounding.
    a, b = np.float32([0.9, 0.8, 0.7]), np.float32([0.8, 0.7, 0.6])
    assert np.ptp(a.astype(float) - b.astype(float)) > 0
    assert gain_verdict(paired_t_test(a, b)) == "untested"
    assert np.isnan(paired_t_test(a, b).p)


def test_one_pair_is_no_test():
    found = paired_t_test([0.9], [0.5])
    assert found.mean == pytest.approx(0.4)
    assert np.isnan(found.p)
    assert gain_verdict(found) == "untested"


def test_pairs_must_match():
    with pytest.raises(ValueError, match="as many"):
        paired_t_test([0.5, 0.6], [0.5, 0.6, 0.7])


@pytest.mark.parametrize(
    ("mean", "half_width", "said"),
    [
        (0.02, 0.01, "gain"),
        (0.02, 0.03, "inside noise"),
        (-0.02, 0.01, "negative transfer"),
        (0.0, 0.0, "inside noise"),
    ],
)
def test_verdict_looks_at_the_whole_interval(mean, half_width, said):
    assert gain_verdict(PairedTest(mean, half_width, 0.5, 5)) == said


def test_gap_closed_by_hand():
    assert gap_closed(0.7, 0.6, 0.8) == pytest.approx(0.5)
    assert gap_closed(0.5, 0.6, 0.8) == pytest.approx(-0.5)
    assert np.isnan(gap_closed(0.7, 0.8, 0.8))
    assert np.isnan(gap_closed(0.7, 0.8, 0.6))


@pytest.mark.parametrize("digits", [0, 1, 9])  # with many ties, some, none
@pytest.mark.parametrize(("ours", "theirs"), [(spearman, stats.spearmanr), (kendall, stats.kendalltau)])
def test_correlations_are_those_of_scipy_with_what_is_not_finite_at_the_bottom(ours, theirs, digits, rng):
    accuracy, scores = rng.normal(size=(2, 9)).round(digits)
    assert ours(scores, accuracy) == pytest.approx(theirs(scores, accuracy).statistic)
    for hole in (np.nan, -np.inf):
        holed, low = (np.where(np.arange(9) == 4, value, scores) for value in (hole, -99))
        assert ours(holed, accuracy) == pytest.approx(ours(low, accuracy))
    assert np.isnan([ours(np.ones(9), accuracy), ours(scores, np.ones(9)), ours(scores[:1], accuracy[:1])]).all()
    assert np.isnan(ours(np.full(9, np.nan), accuracy))
