"""Transport plans compared with a linear program, an assignment solver and a numerical minimiser, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog, minimize

from da_bench.losses.transport import pairwise_cross_entropy, pairwise_label_distances, sinkhorn, unbalanced_sinkhorn


def minimal_cost(cost):
    """Minimal cost, by a linear program over all plans."""
    n, m = cost.shape
    rows = [np.kron(np.eye(n)[i], np.ones(m)) for i in range(n)]
    columns = [np.kron(np.ones(n), np.eye(m)[j]) for j in range(m)]
    marginals = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.stack(rows + columns), b_eq=marginals).fun


@pytest.mark.parametrize("shape", [(6, 6), (5, 8), (1, 4), (1, 1)])
def test_marginals_are_exact_and_the_cost_is_near_the_minimum(shape, rng, x64):
    cost = rng.uniform(0, 5, size=shape)
    plan = np.asarray(sinkhorn(jnp.asarray(cost), 0.05, 200))
    np.testing.assert_allclose(plan.sum(axis=1), 1 / shape[0], rtol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / shape[1], rtol=1e-9)
    assert plan.min() >= 0
    excess = np.sum(plan * cost) - minimal_cost(cost)
    assert -1e-9 <= excess <= 0.05 * np.log(min(shape)) + 1e-6


@pytest.mark.parametrize("epsilon", [1e-2, 1e-6, 1e-300])
def test_a_small_epsilon_gives_the_best_assignment(epsilon, rng, x64):
    cost = rng.uniform(size=(7, 7))
    rows, columns = linear_sum_assignment(cost)
    plan = np.asarray(sinkhorn(jnp.asarray(cost), epsilon, 3000))
    assert np.sum(plan * cost) == pytest.approx(cost[rows, columns].mean(), abs=0.02 if epsilon > 1e-3 else 2e-3)


def test_the_plan_minimises_the_regularised_cost(rng, x64):
    """Compare with scaling the rows and columns of exp(-cost / epsilon) in numpy."""
    cost, epsilon = rng.uniform(size=(4, 3)), 0.2
    kernel, u, v = np.exp(-cost / epsilon), np.ones(4), np.ones(3)
    for _ in range(2000):
        u = 1 / 4 / (kernel @ v)
        v = 1 / 3 / (kernel.T @ u)
    np.testing.assert_allclose(sinkhorn(jnp.asarray(cost), epsilon, 500), u[:, None] * kernel * v[None, :], rtol=1e-8)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1.0, 1e8, 1e30])
@pytest.mark.parametrize("share", [1e-20, 0.01, 1e3])
def test_costs_of_any_scale_give_a_plan_in_single_precision(scale, share, rng):
    cost = jnp.asarray(scale * rng.uniform(size=(9, 4)), jnp.float32)
    plan = np.asarray(sinkhorn(cost, share * cost.mean(), 50))
    assert np.isfinite(plan).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 9, rtol=1e-5)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 4, rtol=1e-5)
    assert np.isfinite(np.asarray(unbalanced_sinkhorn(cost, 0.1, 1.0, 20))).all()


def test_the_gradient_of_the_cost_is_the_plan(rng, x64):
    cost = jnp.asarray(rng.uniform(size=(4, 3)))
    for plan_of in (lambda c: sinkhorn(c, 0.1, 100), lambda c: unbalanced_sinkhorn(c, 0.1, 1.0, 100)):
        gradient = jax.grad(lambda c, plan_of=plan_of: jnp.sum(plan_of(c) * c))(cost)
        np.testing.assert_allclose(gradient, plan_of(cost), rtol=1e-12)


def divergence(p, q):
    return np.sum(p * np.log(p / q) - p + q)


@pytest.mark.parametrize(("epsilon", "tau"), [(0.1, 1.0), (0.3, 0.2)])
def test_the_unbalanced_plan_minimises_its_objective(epsilon, tau, rng, x64):
    cost = rng.uniform(0, 3, size=(3, 4))

    def objective(logs):
        plan = np.exp(logs.reshape(3, 4))
        marginals = divergence(plan.sum(axis=1), np.full(3, 1 / 3)) + divergence(plan.sum(axis=0), np.full(4, 1 / 4))
        return np.sum(plan * cost) + epsilon * divergence(plan, np.full((3, 4), 1 / 12)) + tau * marginals

    best = minimize(objective, np.full(12, -3.0), method="BFGS", options={"gtol": 1e-9})
    plan = np.asarray(unbalanced_sinkhorn(jnp.asarray(cost), epsilon, tau, 500))
    assert objective(np.log(plan)) <= best.fun + 1e-10
    np.testing.assert_allclose(plan, np.exp(best.x).reshape(3, 4), atol=1e-4)
    assert plan.sum() < 1


def test_a_large_tau_gives_the_balanced_plan(rng, x64):
    cost = jnp.asarray(rng.uniform(size=(4, 3)))
    np.testing.assert_allclose(unbalanced_sinkhorn(cost, 0.1, 1e6, 2000), sinkhorn(cost, 0.1, 2000), rtol=1e-3)


def test_label_costs_by_hand(rng, x64):
    labels, logits = np.array([2, 0]), rng.normal(size=(4, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    entropies, distances = (f(labels, jnp.asarray(logits)) for f in (pairwise_cross_entropy, pairwise_label_distances))
    for i, y in enumerate(labels):
        for j in range(4):
            assert entropies[i, j] == pytest.approx(-np.log(p[j, y]), rel=1e-10)
            assert distances[i, j] == pytest.approx(np.sum((np.eye(3)[y] - p[j]) ** 2), rel=1e-10)
