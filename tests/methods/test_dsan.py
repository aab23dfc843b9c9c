"""DSAN's local MMD against loops over classes, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.types import Output
from da_bench.methods import Dsan
from tests.helpers.method_inputs import loss_context

LABELS = np.array([0, 0, 1, 1, 0, 1])  # of 4 classes: 2 and 3 are missing


def outputs(rng):
    return [Output(*(jnp.asarray(rng.normal(size=(n, width))) for width in (4, 4))) for n in (6, 5)]


def term(method, pair, progress=0.5):
    return method.loss(loss_context(*pair, LABELS, progress=progress))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def by_loops(pair, classes):
    x = np.concatenate([output.features for output in pair])
    d = np.array([[np.sum((a - b) ** 2) for b in x] for a in x])
    k = sum(np.exp(-d / (d.sum() / (11 * 10) * 2.0**i)) for i in range(-2, 3))
    p, total = softmax(np.asarray(pair[1].logits)), 0.0
    for c in classes:
        s, t = np.equal(LABELS, c) / np.equal(LABELS, c).sum(), p[:, c] / p[:, c].sum()
        total += sum(s[i] * s[j] * k[i, j] for i in range(6) for j in range(6))
        total += sum(t[i] * t[j] * k[6 + i, 6 + j] for i in range(5) for j in range(5))
        total -= 2 * sum(s[i] * t[j] * k[i, 6 + j] for i in range(6) for j in range(5))
    return total / max(len(classes), 1)


def test_it_averages_over_the_classes_of_the_source_batch(rng, x64):
    pair = outputs(rng)
    assert term(Dsan(weight=0.7, schedule="constant"), pair) == pytest.approx(0.7 * by_loops(pair, [0, 1]), rel=1e-10)


@pytest.mark.parametrize(("favourite", "classes"), [(1, [1]), (3, [])])
def test_it_averages_over_the_classes_of_both_domains(favourite, classes, rng, x64):
    source, target = outputs(rng)
    pair = source, target._replace(logits=target.logits.at[:, favourite].add(9.0))
    value = term(Dsan(weight=1.0, schedule="constant", counted="both"), pair)
    assert value == pytest.approx(by_loops(pair, classes), rel=1e-10)


def test_predictions_carry_no_gradient_and_the_weight_ramps(rng, x64):
    pair = outputs(rng)
    gradients = jax.grad(lambda pair: term(Dsan(), pair))(pair)
    assert all((output.logits == 0).all() and (output.features != 0).any() for output in gradients)
    assert term(Dsan(), pair, 0.1) == pytest.approx(
        np.tanh(0.5) * float(term(Dsan(schedule="constant"), pair)), rel=1e-12
    )


def test_classes_without_target_probability_are_left_out():
    """With extreme logits, the softmax of a class is 0 in every row."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
    source = Output(rows, jnp.zeros((6, 4)))
    target = Output(rows + 1, jnp.tile(jnp.asarray([[1e4, -1e4, 0.0, 0.0]]), (6, 1)))
    value, gradient = jax.value_and_grad(lambda s: term(Dsan(), (s, target)))(source)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient.features).all()
