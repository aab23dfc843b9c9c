"""Student's t intervals."""

import numpy as np
import pytest

from da_bench.reporting.stats.intervals import t_interval


def test_t_interval_by_hand():
    # mean 2, s = 1, t(0.975, 2) = 4.302653 (any t table): 4.302653 / sqrt(3) = 2.484138
    mean, half_width, n = t_interval([1.0, 2.0, 3.0])
    assert (mean, n) == (2.0, 3)
    assert half_width == pytest.approx(2.484138, abs=1e-6)


def test_t_interval_of_one_and_of_equal_values():
    assert np.isnan(t_interval([0.7]).half_width)
    assert t_interval([0.1, 0.1, 0.1]).half_width == 0


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")], [[0.1, 0.2]]])
def test_invalid_samples_raise(values):
    with pytest.raises(ValueError, match="finite"):
        t_interval(values)


def test_t_interval_covers_95_percent_with_five_seeds():
    samples = np.random.default_rng(0).normal(0.7, 0.02, (20_000, 5))
    intervals = np.array([t_interval(sample)[:2] for sample in samples])
    covered = np.abs(intervals[:, 0] - 0.7) <= intervals[:, 1]
    assert covered.mean() == pytest.approx(0.95, abs=0.01)
