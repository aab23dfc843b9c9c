"""Transport plans against an assignment solver, Gaussian moments, POT's own routines and first-order conditions."""

import sys

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from da_bench.classical import transport
from da_bench.classical.common import Domains
from da_bench.classical.knn import NearestNeighbour
from da_bench.classical.shallow import LogisticRegression
from da_bench.classical.transport import EmdOt, LinearOt, SinkhornOt
from da_bench.core.config import UserError

ot = pytest.importorskip("ot", reason="POT is not installed")


def domains(rng, n=12, m=12, d=3):
    return Domains(rng.normal(size=(n, d)), np.arange(n) % 3, 2 * rng.normal(size=(m, d)) + 1)


def test_the_linear_map_gives_the_source_the_targets_moments(rng):
    source = rng.normal(size=(90, 4)) @ rng.normal(size=(4, 4)) + 3
    target = rng.normal(size=(70, 4)) @ rng.normal(size=(4, 4)) - 1
    carried, unchanged = LinearOt(ridge=1e-12).embed(Domains(source, np.arange(90) % 2, target))
    np.testing.assert_allclose(carried.mean(axis=0), target.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(np.cov(carried.T, bias=True), np.cov(target.T, bias=True), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(unchanged(target), target)


def test_the_linear_map_is_symmetric_and_pots(rng):
    """Of all maps between the moments, the optimal one is the gradient of a convex function: symmetric, positive."""
    source, target = rng.normal(size=(50, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(60, 4))
    matrix = transport.monge_matrix(source, target, 1e-3)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > 0
    theirs, _ = ot.gaussian.empirical_bures_wasserstein_mapping(source, target, reg=1e-3)
    np.testing.assert_allclose(matrix, theirs, rtol=1e-6, atol=1e-8)


def test_between_equally_many_rows_the_exact_plan_is_an_assignment(rng):
    rows = domains(rng)
    plan = transport.exact_plan(transport.cost(rows.source, rows.target))
    to = linear_sum_assignment(((rows.source[:, None] - rows.target) ** 2).sum(axis=2))[1]
    np.testing.assert_allclose(plan, np.eye(12)[to] / 12, atol=1e-12)
    np.testing.assert_allclose(EmdOt().embed(rows)[0], rows.target[to], atol=1e-12)


def test_between_unequal_numbers_of_rows_it_is_an_assignment_of_copies(rng):
    rows = domains(rng, 4, 6)
    costs = transport.cost(rows.source, rows.target)
    least = (transport.exact_plan(costs) * costs).sum()
    copies = np.repeat(np.repeat(costs, 3, axis=0), 2, axis=1)  # 12 on either side
    assert least == pytest.approx(copies[linear_sum_assignment(copies)].mean(), rel=1e-9)


def test_the_entropic_plan_has_its_marginals_and_its_form(rng):
    """P = diag(u) exp(-C / entropy) diag(v): the logarithm less the exponent is a sum of a row's and a column's."""
    costs = transport.cost(*domains(rng, 7, 9)[::2])
    plan = transport.entropic_plan(costs, 0.1)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 7, rtol=1e-5)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 9, rtol=1e-5)
    rest = np.log(plan) + costs / 0.1
    doubly_centred = rest - rest.mean(axis=0) - rest.mean(axis=1, keepdims=True) + rest.mean()
    np.testing.assert_allclose(doubly_centred, 0, atol=1e-8)


def test_with_little_entropy_it_is_the_exact_plan(rng):
    rows = domains(rng)
    near = rows._replace(target=rows.source[::-1] + 0.1 * rng.normal(size=(12, 3)))
    np.testing.assert_allclose(SinkhornOt(entropy=1e-3).embed(near)[0], EmdOt().embed(near)[0], atol=1e-3)


def test_with_much_entropy_every_row_goes_to_the_mean(rng):
    rows = domains(rng)
    expected = np.tile(rows.target.mean(axis=0), (12, 1))
    np.testing.assert_allclose(SinkhornOt(entropy=1e4).embed(rows)[0], expected, atol=1e-3)


def test_the_concave_class_term_is_pots(rng):
    rows = domains(rng, 9, 8)
    costs = transport.cost(rows.source, rows.target)
    ours = transport.lp_plan(costs, rows.labels, 0.1, 0.05)
    theirs = ot.da.sinkhorn_lpl1_mm(np.full(9, 1 / 9), rows.labels, np.full(8, 1 / 8), costs, 0.1, 0.05)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_group_lasso_is_pots_or_better(rng):
    """Where POT stops after the same ten rounds, the objective is no less."""
    rows = domains(rng, 9, 8)
    costs, one_hot = transport.cost(rows.source, rows.target), np.eye(3)[rows.labels]
    ours = transport.group_lasso_plan(costs, rows.labels, 0.1, 0.5)
    theirs = ot.da.sinkhorn_l1l2_gl(np.full(9, 1 / 9), rows.labels, np.full(8, 1 / 8), costs, 0.1, 0.5)
    assert transport.class_objective(ours, costs, one_hot, (0.1, 0.5)) <= 1e-6 + transport.class_objective(
        theirs, costs, one_hot, (0.1, 0.5)
    )


def test_the_group_lasso_is_the_least_of_its_objective(rng):
    """At the optimum of a convex objective under given marginals, its gradient is a row's plus a column's share."""
    rows = domains(rng, 9, 8)
    costs, one_hot = transport.cost(rows.source, rows.target), np.eye(3)[rows.labels]
    plan = transport.group_lasso_plan(costs, rows.labels, 0.5, 0.1)
    gradient = costs + 0.5 * np.log(plan) + 0.1 * plan / (one_hot @ np.sqrt(one_hot.T @ plan**2))
    rest = gradient - gradient.mean(axis=0) - gradient.mean(axis=1, keepdims=True) + gradient.mean()
    np.testing.assert_allclose(rest, 0, atol=1e-3)


def mixing(plan, labels):
    """Mass that target rows get from classes other than their main one."""
    return 1 - np.stack([plan[labels == c].sum(axis=0) for c in np.unique(labels)]).max(axis=0).sum()


def test_the_concave_term_sends_fewer_classes_to_one_row(rng):
    rows = domains(rng, 30, 20)
    costs = transport.cost(rows.source, rows.target)
    plain, plan = transport.entropic_plan(costs, 0.05), transport.lp_plan(costs, rows.labels, 0.05, 0.5)
    assert mixing(plan, rows.labels) < 0.9 * mixing(plain, rows.labels)


@pytest.mark.parametrize(
    ("classes", "solver"), [("lp", transport.lp_plan), ("group_lasso", transport.group_lasso_plan)]
)
def test_the_source_is_carried_by_the_plan_of_its_classes(classes, solver, rng):
    rows = domains(rng, 30, 20)
    plan = solver(transport.cost(rows.source, rows.target), rows.labels, 0.05, 0.5)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 20, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 30, rtol=1e-3)
    carried = SinkhornOt(entropy=0.05, classes=classes, class_weight=0.5).embed(rows)[0]
    np.testing.assert_allclose(carried, transport.carry(plan, rows.target))


def test_without_weight_a_class_term_is_none(rng):
    rows = domains(rng)
    plain = SinkhornOt(entropy=0.1).embed(rows)[0]
    for classes in ("lp", "group_lasso"):
        found = SinkhornOt(entropy=0.1, classes=classes, class_weight=0.0).embed(rows)[0]
        np.testing.assert_allclose(found, plain, atol=1e-5)


def crescents(rng, labels, turn):
    """Three blobs on an arc of the plane, turned by an angle in degrees."""
    at = np.deg2rad(np.array([0, 60, 120])[labels] + turn)
    return 4 * np.stack([np.cos(at), np.sin(at)], axis=1) + 0.4 * rng.normal(size=(len(labels), 2))


@pytest.mark.parametrize("method", [EmdOt(), SinkhornOt(), SinkhornOt(classes="lp"), SinkhornOt(classes="group_lasso")])
def test_it_undoes_a_turn_that_neighbours_cannot(method, rng):
    labels = np.arange(60) % 3
    source, target = crescents(rng, labels, 0), crescents(rng, labels, 40)
    plain = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (plain == labels).mean() < 0.5
    assert (method.fit(source, labels, target).predict(target) == labels).mean() > 0.95


def test_the_linear_map_undoes_a_shift_and_a_squeeze(rng):
    labels = np.arange(400) % 2
    place = np.where(labels, 2.0, -2.0)[:, None] * [1.0, 0.0]
    source, target = (place + rng.normal(size=(400, 2)) * [0.5, 3.0] for _ in range(2))
    target = target * [4.0, 0.2] + [20.0, -7.0]
    plain = LogisticRegression().fit(source, labels, target).predict(target)
    assert (plain == labels).mean() < 0.6
    assert (LinearOt(classifier="logistic").fit(source, labels, target).predict(target) == labels).mean() > 0.95


@pytest.mark.parametrize("method", [EmdOt, SinkhornOt])
def test_without_pot_one_message_says_how_to_get_it(method, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    rows = domains(rng)
    with pytest.raises(UserError, match=r'pip install "da-bench\[ot\]"'):
        method().fit(rows.source, rows.labels, rows.target)
