"""Entropy minimisation, MCC, BNM and AFN: which domain each uses, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.types import Output
from da_bench.losses.entropy import class_confusion
from da_bench.methods import Afn, Bnm, EntropyMinimisation, Mcc
from tests.helpers.method_inputs import loss_context


def outputs(rng):
    return [Output(*(jnp.asarray(rng.normal(size=(n, width))) for width in (4, 3))) for n in (6, 4)]


def term(method, source, target):
    return method.loss(loss_context(source, target))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_entropy_is_of_the_target(rng, x64):
    source, target = outputs(rng)
    p = softmax(np.asarray(target.logits))
    expected = -0.3 * np.mean(np.sum(p * np.log(p), axis=1))
    assert term(EntropyMinimisation(weight=0.3), source, target) == pytest.approx(expected, rel=1e-12)


def test_mcc_is_the_confusion_of_the_target(rng, x64):
    source, target = outputs(rng)
    expected = 0.5 * class_confusion(target.logits, 3.0)
    assert term(Mcc(weight=0.5, temperature=3.0), source, target) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("divided_by", "divisor"), [("rows", 4), ("values", 3)])
def test_bnm_divides_the_targets_nuclear_norm(divided_by, divisor, rng, x64):
    source, target = outputs(rng)
    expected = -2 * np.linalg.norm(softmax(np.asarray(target.logits)), "nuc") / divisor
    assert term(Bnm(weight=2.0, divided_by=divided_by), source, target) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("average", "shares"), [("rows", (1 / 10, 1 / 10)), ("domains", (1 / 6, 1 / 4))])
def test_stepwise_afn_has_a_constant_value_and_lengthens_every_row(average, shares, rng, x64):
    """The value is Delta^2, once or per domain; the gradient of a row is -2 Delta f / |f| times its share."""
    method = Afn(weight=0.5, delta=0.7, average=average)
    source, target = outputs(rng)
    value, gradients = jax.value_and_grad(lambda pair: term(method, *pair))((source, target))
    assert value == pytest.approx(0.5 * 0.7**2 * (1 if average == "rows" else 2), rel=1e-12)
    for output, gradient, share in zip((source, target), gradients, shares, strict=True):
        f = np.asarray(output.features)
        expected = -0.5 * share * 2 * 0.7 * f / np.linalg.norm(f, axis=1)[:, None]
        np.testing.assert_allclose(gradient.features, expected, rtol=1e-12)
        assert (gradient.logits == 0).all()


def test_hard_afn_is_the_distance_of_mean_norms_from_the_radius(rng, x64):
    source, target = outputs(rng)
    means = [np.linalg.norm(np.asarray(x.features), axis=1).mean() for x in (source, target)]
    expected = 0.05 * sum((mean - 10) ** 2 for mean in means)
    assert term(Afn(variant="hard", radius=10.0), source, target) == pytest.approx(expected, rel=1e-12)


def test_afn_adds_the_targets_entropy_at_its_own_weight(rng, x64):
    source, target = outputs(rng)
    added = term(Afn(entropy_weight=0.1), source, target) - term(Afn(), source, target)
    assert added == pytest.approx(float(term(EntropyMinimisation(weight=0.1), source, target)), rel=1e-9)
