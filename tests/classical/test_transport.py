"""Transport plans against an assignment solver, Gaussian moments, POT and first-order conditions."""

import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from da_bench.classical import EmdOt, LinearOt, LogisticRegression, NearestNeighbour, SinkhornOt, transport
from da_bench.classical._preprocessing import TrainingRows
from da_bench.core.config import UserError

ot = pytest.importorskip("ot", reason="POT is not installed")


def random_rows(rng, n=12, m=12, d=3):
    return TrainingRows(rng.normal(size=(n, d)), np.arange(n) % 3, 2 * rng.normal(size=(m, d)) + 1)


def test_linear_map_gives_the_source_the_moments_of_the_target(rng):
    source = rng.normal(size=(90, 4)) @ rng.normal(size=(4, 4)) + 3
    target = rng.normal(size=(70, 4)) @ rng.normal(size=(4, 4)) - 1
    alignment = LinearOt(ridge=1e-12).align(TrainingRows(source, np.arange(90) % 2, target))
    np.testing.assert_allclose(alignment.source.mean(axis=0), target.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.cov(alignment.source.T, bias=True), np.cov(target.T, bias=True), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(alignment.transform(target), target)


def test_linear_map_is_symmetric_and_equals_that_of_pot(rng):
    """The optimal map is the gradient of a convex function, so its matrix is symmetric and positive definite."""
    source, target = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(60, 4))
    matrix = transport.monge_matrix(source, target, 1e-3)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > 0
    expected, _ = ot.gaussian.empirical_bures_wasserstein_mapping(source, target, reg=1e-3)
    np.testing.assert_allclose(matrix, expected, rtol=1e-6, atol=1e-8)


def test_exact_plan_between_equally_many_rows_is_an_assignment(rng):
    rows = random_rows(rng)
    plan = transport.exact_plan(transport.cost_matrix(rows.source, rows.target))
    assigned = linear_sum_assignment(((rows.source[:, None] - rows.target) ** 2).sum(axis=2))[1]
    np.testing.assert_allclose(plan, np.eye(12)[assigned] / 12, atol=1e-12)
    np.testing.assert_allclose(EmdOt().align(rows).source, rows.target[assigned], atol=1e-12)


def test_exact_plan_between_unequal_numbers_of_rows_is_an_assignment_of_copies(rng):
    rows = random_rows(rng, 4, 6)
    costs = transport.cost_matrix(rows.source, rows.target)
    minimum = (transport.exact_plan(costs) * costs).sum()
    copies = np.repeat(np.repeat(costs, 3, axis=0), 2, axis=1)  # 12 rows of each domain
    assert minimum == pytest.approx(copies[linear_sum_assignment(copies)].mean(), rel=1e-9)


def test_entropic_plan_has_its_marginals_and_form(rng):
    """P = diag(u) exp(-C / entropy) diag(v), so log P + C / entropy is the sum of a row term and a column term."""
    costs = transport.cost_matrix(*random_rows(rng, 7, 9)[::2])
    plan = transport.entropic_plan(costs, 0.1)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 7, rtol=1e-5)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 9, rtol=1e-5)
    remainder = np.log(plan) + costs / 0.1
    doubly_centred = remainder - remainder.mean(axis=0) - remainder.mean(axis=1, keepdims=True) + remainder.mean()
    np.testing.assert_allclose(doubly_centred, 0, atol=1e-8)


def test_small_entropy_gives_the_exact_plan(rng):
    rows = random_rows(rng)
    close = rows._replace(target=rows.source[::-1] + 0.1 * rng.normal(size=(12, 3)))
    np.testing.assert_allclose(SinkhornOt(entropy=1e-3).align(close).source, EmdOt().align(close).source, atol=1e-3)


def test_large_entropy_moves_every_row_to_the_mean(rng):
    rows = random_rows(rng)
    expected = np.tile(rows.target.mean(axis=0), (12, 1))
    np.testing.assert_allclose(SinkhornOt(entropy=1e4).align(rows).source, expected, atol=1e-3)


def test_lp_plan_equals_that_of_pot(rng):
    rows = random_rows(rng, 9, 8)
    costs = transport.cost_matrix(rows.source, rows.target)
    plan = transport.lp_plan(costs, rows.labels, 0.1, 0.05)
    expected = ot.da.sinkhorn_lpl1_mm(np.full(9, 1 / 9), rows.labels, np.full(8, 1 / 8), costs, 0.1, 0.05)
    np.testing.assert_allclose(plan, expected, atol=1e-6)


def test_group_lasso_plan_is_at_least_as_good_as_that_of_pot(rng):
    """POT also stops after ten iterations."""
    rows = random_rows(rng, 9, 8)
    costs, one_hot = transport.cost_matrix(rows.source, rows.target), np.eye(3)[rows.labels]
    plan = transport.group_lasso_plan(costs, rows.labels, 0.1, 0.5)
    expected = ot.da.sinkhorn_l1l2_gl(np.full(9, 1 / 9), rows.labels, np.full(8, 1 / 8), costs, 0.1, 0.5)
    objective, pot_objective = (
        transport.group_lasso_objective(p, costs, one_hot, (0.1, 0.5)) for p in (plan, expected)
    )
    assert objective <= 1e-6 + pot_objective


def test_group_lasso_plan_satisfies_the_optimality_conditions(rng):
    """At the optimum under fixed marginals, the gradient is the sum of a row term and a column term."""
    rows = random_rows(rng, 9, 8)
    costs, one_hot = transport.cost_matrix(rows.source, rows.target), np.eye(3)[rows.labels]
    plan = transport.group_lasso_plan(costs, rows.labels, 0.5, 0.1)
    gradient = costs + 0.5 * np.log(plan) + 0.1 * plan / (one_hot @ np.sqrt(one_hot.T @ plan**2))
    remainder = gradient - gradient.mean(axis=0) - gradient.mean(axis=1, keepdims=True) + gradient.mean()
    np.testing.assert_allclose(remainder, 0, atol=1e-3)


def minority_mass(plan, labels):
    """Mass that target rows receive from classes other than their main one."""
    return 1 - np.stack([plan[labels == c].sum(axis=0) for c in np.unique(labels)]).max(axis=0).sum()


def test_lp_term_sends_fewer_classes_to_one_row(rng):
    rows = random_rows(rng, 30, 20)
    costs = transport.cost_matrix(rows.source, rows.target)
    unpenalised, plan = transport.entropic_plan(costs, 0.05), transport.lp_plan(costs, rows.labels, 0.05, 0.5)
    assert minority_mass(plan, rows.labels) < 0.9 * minority_mass(unpenalised, rows.labels)


@pytest.mark.parametrize(
    ("classes", "solver"), [("lp", transport.lp_plan), ("group_lasso", transport.group_lasso_plan)]
)
def test_class_terms_keep_the_marginals_and_move_the_source(classes, solver, rng):
    rows = random_rows(rng, 30, 20)
    plan = solver(transport.cost_matrix(rows.source, rows.target), rows.labels, 0.05, 0.5)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 20, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 30, rtol=1e-3)
    moved = SinkhornOt(entropy=0.05, classes=classes, class_weight=0.5).align(rows).source
    np.testing.assert_allclose(moved, transport.barycentric_map(plan, rows.target))


def test_a_class_term_with_weight_zero_has_no_effect(rng):
    rows = random_rows(rng)
    expected = SinkhornOt(entropy=0.1).align(rows).source
    for classes in ("lp", "group_lasso"):
        moved = SinkhornOt(entropy=0.1, classes=classes, class_weight=0.0).align(rows).source
        np.testing.assert_allclose(moved, expected, atol=1e-5)


def blobs_on_an_arc(rng, labels, rotation):
    """Three blobs on an arc of the plane, rotated by an angle in degrees."""
    angle = np.deg2rad(np.array([0, 60, 120])[labels] + rotation)
    return 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.4 * rng.normal(size=(len(labels), 2))


@pytest.mark.parametrize("method", [EmdOt(), SinkhornOt(), SinkhornOt(classes="lp"), SinkhornOt(classes="group_lasso")])
def test_transport_undoes_a_rotation_that_misleads_nearest_neighbours(method, rng):
    labels = np.arange(60) % 3
    source, target = blobs_on_an_arc(rng, labels, 0), blobs_on_an_arc(rng, labels, 40)
    unadapted = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (unadapted == labels).mean() < 0.5
    assert (method.fit(source, labels, target).predict(target) == labels).mean() > 0.95


def test_linear_map_undoes_a_shift_and_a_scaling(rng):
    labels = np.arange(400) % 2
    centres = np.where(labels, 2.0, -2.0)[:, None] * [1.0, 0.0]
    source, target = (centres + rng.normal(size=(400, 2)) * [0.5, 3.0] for _ in range(2))
    target = target * [4.0, 0.2] + [20.0, -7.0]
    unadapted = LogisticRegression().fit(source, labels, target).predict(target)
    assert (unadapted == labels).mean() < 0.6
    assert (LinearOt(classifier="logistic").fit(source, labels, target).predict(target) == labels).mean() > 0.95


@pytest.mark.parametrize("method", [EmdOt, SinkhornOt])
def test_a_missing_pot_installation_is_reported(method, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    rows = random_rows(rng)
    with pytest.raises(UserError, match=r"da-bench\[ot\]"):
        method().fit(rows.source, rows.labels, rows.target)
