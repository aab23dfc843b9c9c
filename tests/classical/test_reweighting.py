"""Weights against SciPy's constrained minimiser, first-order conditions and known densities."""

import numpy as np
import pytest
from scipy.optimize import minimize

from da_bench.classical import LogisticRegression
from da_bench.classical._linalg import gaussian_kernel
from da_bench.classical.reweighting import (
    DensityRatio,
    KernelMeanMatching,
    density_ratio_weights,
    kernel_mean_weights,
    project_weights,
)


def problem(rng, n=12, m=9):
    source, target = rng.normal(size=(n, 2)), 0.5 * rng.normal(size=(m, 2)) + 0.7
    return gaussian_kernel(source, source, 0.5), n * gaussian_kernel(source, target, 0.5).mean(axis=1)


@pytest.mark.parametrize(("bound", "slack"), [(1000.0, 0.7), (1.5, 0.1), (3.0, 0.0)])
def test_kernel_mean_matching_solves_its_quadratic_program(bound, slack, rng):
    kernel, kappa = problem(rng)
    weights = kernel_mean_weights(kernel, kappa, bound, slack)
    limits = [{"type": "ineq", "fun": lambda w, s=s: 12 * slack + s * (w.sum() - 12)} for s in (1, -1)]
    oracle = minimize(
        lambda w: w @ kernel @ w / 2 - kappa @ w,
        np.ones(12),
        jac=lambda w: kernel @ w - kappa,
        bounds=[(0, bound)] * 12,
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert oracle.success
    np.testing.assert_allclose(weights, oracle.x, atol=2e-4)


def test_kernel_mean_weights_of_identical_domains_are_one(rng):
    rows = rng.normal(size=(20, 2))
    kernel = gaussian_kernel(rows, rows, 0.3)
    np.testing.assert_allclose(kernel_mean_weights(kernel, kernel.sum(axis=1), 1000.0, 0.5), 1.0, atol=1e-5)


@pytest.mark.parametrize("total", [2.0, 5.0, 8.5])
def test_project_weights_gives_the_closest_point(total, rng):
    """By the KKT conditions, all entries strictly within the bounds are shifted by the same amount."""
    start = rng.normal(size=10)
    weights = project_weights(start, 1.0, total, total)
    assert weights.sum() == pytest.approx(total, abs=1e-9)
    assert weights.min() >= 0
    assert weights.max() <= 1
    free = (weights > 1e-9) & (weights < 1 - 1e-9)
    shift = (weights - start)[free]
    np.testing.assert_allclose(shift, shift[0], atol=1e-9)
    assert ((start + shift[0])[weights <= 1e-9] <= 1e-9).all()
    assert ((start + shift[0])[weights >= 1 - 1e-9] >= 1 - 1e-9).all()


def test_project_weights_only_clips_if_the_sum_is_allowed():
    np.testing.assert_allclose(project_weights(np.array([-1.0, 0.5, 2.0]), 1.0, 0.0, 3.0), [0.0, 0.5, 1.0])


def test_density_ratio_of_two_gaussians(rng):
    """N(1, 1) over N(0, 1) is exp(x - 1/2), whose logarithm is linear, so the logistic model is exact."""
    source, target = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 1)) + 1
    weights = density_ratio_weights(source, target, 1.0)
    assert weights.mean() == pytest.approx(1.0)
    slope = np.polyfit(source[:, 0], np.log(weights), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.1)


def test_density_ratio_does_not_depend_on_the_sizes_of_the_domains(rng):
    source, target = rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) + 0.5
    once, thrice = (density_ratio_weights(source, np.repeat(target, k, axis=0), 1e6) for k in (1, 3))
    np.testing.assert_allclose(np.log(thrice), np.log(once), atol=0.15)


@pytest.mark.parametrize("method", [KernelMeanMatching(), DensityRatio()])
def test_reweighting_fits_the_classes_where_the_target_is(method, rng):
    """The class is |x| > 1: a threshold cannot separate it around 0, where the source is, but can around the target."""
    source, target = rng.normal(size=(800, 1)), rng.normal(size=(500, 1)) + 1.5
    labels, truth = (np.abs(x[:, 0]) > 1 for x in (source, target))
    unadapted = LogisticRegression().fit(source, labels.astype(int), target).predict(target)
    adapted = method.fit(source, labels.astype(int), target).predict(target)
    assert (unadapted == truth).mean() < 0.6
    assert (adapted == truth).mean() > 0.9
