"""Weights against SciPy's constrained minimiser, first-order conditions, and densities that are known."""

import numpy as np
import pytest
from scipy.optimize import minimize

from da_bench.classical.common import gaussian
from da_bench.classical.reweighting import (
    DensityRatio,
    KernelMeanMatching,
    into_limits,
    matching_weights,
    ratio_weights,
)
from da_bench.classical.shallow import LogisticRegression


def problem(rng, n=12, m=9):
    source, target = rng.normal(size=(n, 2)), 0.5 * rng.normal(size=(m, 2)) + 0.7
    return gaussian(source, source, 0.5), n * gaussian(source, target, 0.5).mean(axis=1)


@pytest.mark.parametrize(("bound", "slack"), [(1000.0, 0.7), (1.5, 0.1), (3.0, 0.0)])
def test_kernel_mean_matching_solves_its_quadratic_program(bound, slack, rng):
    kernel, pull = problem(rng)
    found = matching_weights(kernel, pull, bound, slack)
    limits = [{"type": "ineq", "fun": lambda w, s=s: 12 * slack + s * (w.sum() - 12)} for s in (1, -1)]
    oracle = minimize(
        lambda w: w @ kernel @ w / 2 - pull @ w,
        np.ones(12),
        jac=lambda w: kernel @ w - pull,
        bounds=[(0, bound)] * 12,
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert oracle.success
    np.testing.assert_allclose(found, oracle.x, atol=2e-4)


def test_of_one_sample_twice_every_weight_is_one(rng):
    rows = rng.normal(size=(20, 2))
    kernel = gaussian(rows, rows, 0.3)
    np.testing.assert_allclose(matching_weights(kernel, kernel.sum(axis=1), 1000.0, 0.5), 1.0, atol=1e-5)


@pytest.mark.parametrize("total", [2.0, 5.0, 8.5])
def test_into_limits_is_the_nearest_point(total, rng):
    """Karush, Kuhn and Tucker: every entry that is free is shifted by the same amount."""
    weights = rng.normal(size=10)
    found = into_limits(weights, 1.0, total, total)
    assert found.sum() == pytest.approx(total, abs=1e-9)
    assert found.min() >= 0
    assert found.max() <= 1
    free = (found > 1e-9) & (found < 1 - 1e-9)
    shift = (found - weights)[free]
    np.testing.assert_allclose(shift, shift[0], atol=1e-9)
    assert ((weights + shift[0])[found <= 1e-9] <= 1e-9).all()
    assert ((weights + shift[0])[found >= 1 - 1e-9] >= 1 - 1e-9).all()


def test_within_the_limits_nothing_moves_but_into_the_bounds():
    np.testing.assert_allclose(into_limits(np.array([-1.0, 0.5, 2.0]), 1.0, 0.0, 3.0), [0.0, 0.5, 1.0])


def test_the_ratio_of_two_gaussians_is_found(rng):
    """N(1, 1) over N(0, 1) is exp(x - 1/2), whose logarithm is linear: the logistic model holds exactly."""
    source, target = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 1
    weights = ratio_weights(source, target, 1.0)
    assert weights.mean() == pytest.approx(1.0)
    slope = np.polyfit(source[:, 0], np.log(weights), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.1)


def test_the_sizes_of_the_domains_do_not_matter(rng):
    source, target = rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 0.5
    once, thrice = (ratio_weights(source, np.repeat(target, k, axis=0), 1e6) for k in (1, 3))
    np.testing.assert_allclose(np.log(thrice), np.log(once), atol=0.15)


@pytest.mark.parametrize("method", [KernelMeanMatching(), DensityRatio()])
def test_it_fits_the_classes_where_the_target_is(method, rng):
    """The class is whether |x| > 1, which no line tells around 0; around 1.5, where the target is, one does."""
    source, target = rng.normal(size=(800, 1)), rng.normal(size=(500, 1)) + 1.5
    labels, truth = (np.abs(x[:, 0]) > 1 for x in (source, target))
    plain = LogisticRegression().fit(source, labels.astype(int), target).predict(target)
    adapted = method.fit(source, labels.astype(int), target).predict(target)
    assert (plain == truth).mean() < 0.6
    assert (adapted == truth).mean() > 0.9
