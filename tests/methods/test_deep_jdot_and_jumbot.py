"""DeepJDOT and JUMBOT: terms and gradients for plans computed independently, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from da_bench.core.types import Output
from da_bench.methods import DeepJdot, Jumbot
from tests.helpers.method_inputs import loss_context

LABELS = np.array([2, 0, 1, 2])


def outputs(rng):
    return [Output(*(jnp.asarray(rng.normal(size=(4, width)) + shift) for width in (5, 3))) for shift in (0.0, 0.4)]


def term(method, source, target):
    return method.loss(loss_context(source, target, LABELS))


def costs(source, target, squared=False):
    """Distances of the features and costs of the classes, by loops over pairs."""
    p = np.exp(target.logits) / np.exp(target.logits).sum(axis=1, keepdims=True)
    pairs = [(i, j) for i in range(4) for j in range(4)]
    features = [np.sum((np.asarray(source.features)[i] - np.asarray(target.features)[j]) ** 2) for i, j in pairs]
    classes = [np.sum((np.eye(3)[LABELS[i]] - p[j]) ** 2) if squared else -np.log(p[j, LABELS[i]]) for i, j in pairs]
    return np.reshape(features, (4, 4)), np.reshape(classes, (4, 4))


def cross_entropy(source):
    p = np.exp(source.logits) / np.exp(source.logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(4), LABELS]).mean()


@pytest.mark.parametrize("plan_label", ["cross_entropy", "squared"])
def test_deep_jdot_is_the_cost_of_the_best_pairing(plan_label, rng, x64):
    source, target = outputs(rng)
    method = DeepJdot(
        weight=1.5, alpha=0.3, label=0.6, source=0.25, plan_label=plan_label, epsilon=1e-4, iterations=4000
    )
    features, classes = costs(source, target)
    _, of_plan = costs(source, target, squared=plan_label == "squared")
    pairing = linear_sum_assignment(0.3 * features + 0.6 * of_plan)
    expected = 1.5 * (0.3 * features + 0.6 * classes)[pairing].mean() + (0.25 - 1) * cross_entropy(source)
    assert term(method, source, target) == pytest.approx(expected, rel=1e-4)


def test_deep_jdot_moves_features_along_the_fixed_plan(rng, x64):
    """d/df_i of sum_ij plan_ij alpha ||f_i - f_j||^2: for the best pairing this is 2 alpha (f_i - f_j(i)) / n."""
    source, target = outputs(rng)
    method = DeepJdot(alpha=0.3, label=1.0, epsilon=1e-4, iterations=4000)
    features, classes = costs(source, target)
    _, partner = linear_sum_assignment(0.3 * features + classes)
    gradient = jax.grad(lambda f: term(method, Output(f, source.logits), target))(source.features)
    expected = 2 * 0.3 * (np.asarray(source.features) - np.asarray(target.features)[partner]) / 4
    np.testing.assert_allclose(gradient, expected, atol=1e-4)


def test_jumbot_is_the_cost_of_the_plan_from_matrix_scaling(rng, x64):
    source, target = outputs(rng)
    features, classes = costs(source, target)
    cost = 0.2 * features + 0.7 * classes
    kernel, u, v = np.exp(-cost / 0.3) / 16, np.ones(4), np.ones(4)
    power = 0.5 / (0.5 + 0.3)
    for _ in range(500):
        u = (1 / 4 / (kernel @ v)) ** power
        v = (1 / 4 / (kernel.T @ u)) ** power
    method = Jumbot(weight=1.5, eta1=0.2, eta2=0.7, tau=0.5, epsilon=0.3, iterations=500)
    assert term(method, source, target) == pytest.approx(
        1.5 * np.sum(u[:, None] * kernel * v[None, :] * cost), rel=1e-8
    )


@pytest.mark.conformance
@pytest.mark.parametrize("method", [DeepJdot(), Jumbot()], ids=["deep_jdot", "jumbot"])
@pytest.mark.parametrize("rows", [(1, 1), (3, 5)])
def test_extreme_logits_and_other_sizes_stay_finite(method, rows, rng):
    source, target = (
        Output(
            jnp.asarray(rng.normal(size=(n, 5)), jnp.float32), jnp.asarray(1e4 * rng.normal(size=(n, 3)), jnp.float32)
        )
        for n in rows
    )
    labels = jnp.zeros(rows[0], int)

    def loss(source, target):
        return method.loss(loss_context(source, target, labels))

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(source, target)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
