"""Search spaces: quantiles against scipy, and refused bounds."""

import math

import numpy as np
import pytest
from scipy import stats

from da_bench.core.config import UserError
from da_bench.methods.search_space import DISTANCE_WEIGHT, LEARNING_RATE, LOSS_WEIGHT, LogUniform, Uniform, loss_weight

SHARES = np.linspace(0, 1, 101)


def test_quantiles_are_those_of_scipy_to_four_digits():
    quantiles = [LogUniform(1e-5, 0.1).quantile(share) for share in SHARES]
    np.testing.assert_allclose(quantiles, stats.loguniform(1e-5, 0.1).ppf(SHARES), rtol=1e-3)
    quantiles = [Uniform(0.2, 5.0).quantile(share) for share in SHARES]
    np.testing.assert_allclose(quantiles, stats.uniform(0.2, 4.8).ppf(SHARES), rtol=1e-3)


@pytest.mark.parametrize("space", [LogUniform(1.00004e-3, 0.123456), Uniform(0.123456, 7.77777)])
def test_values_have_four_digits_and_stay_within_the_bounds(space):
    values = [space.quantile(share) for share in SHARES]
    assert all(space.contains(value) for value in values)
    assert all(value == float(f"{value:.4g}") for value in values[1:-1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(1.0, 1.0), r"Uniform\(low=1.0, high=1.0\)"),
        (lambda: Uniform(0.0, math.inf), "high=inf"),
        (lambda: LogUniform(math.nan, 1.0), "low=nan"),
        (lambda: LogUniform(0.0, 1.0), r"LogUniform\(low=0.0, high=1.0\).*Uniform$"),
    ],
)
def test_wrong_bounds_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_the_published_spaces():
    """powerful-benchmarker, base_config: lr 1e-5 to 0.1 in logarithm, weights 0 to 1; skada-bench: logspace(-5, 3)."""
    assert LogUniform(1e-5, 1e-1) == LEARNING_RATE
    assert Uniform(0.0, 1.0) == LOSS_WEIGHT
    assert LogUniform(1e-5, 1e3) == DISTANCE_WEIGHT
    assert loss_weight(0.3) is LOSS_WEIGHT
    assert loss_weight(3.0) == Uniform(0.0, 3.0)
