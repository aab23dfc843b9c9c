"""DANN against a calculation of its gradients by hand, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.types import Output
from da_bench.methods import Dann
from da_bench.models import Discriminator
from tests.helpers.method_inputs import loss_context, method_spec

ROWS, WIDTH = 5, 3


def sample(rng):
    source, target = rng.normal(size=(ROWS, WIDTH)), rng.normal(size=(ROWS + 2, WIDTH))
    return source, target, rng.normal(size=WIDTH), rng.normal()


def by_hand(source, target, w, b):
    """Loss of a logistic domain classifier, and its plain gradients with respect to features and (w, b)."""
    p_source, p_target = (1 / (1 + np.exp(-(x @ w + b))) for x in (source, target))
    loss = -np.log(p_source).mean() - np.log(1 - p_target).mean()
    d_source, d_target = (p_source - 1) / len(source), p_target / len(target)
    own = source.T @ d_source + target.T @ d_target, d_source.sum() + d_target.sum()
    return loss, (np.outer(d_source, w), np.outer(d_target, w)), own


def term_and_gradients(method, source, target, w, b, progress):
    params = {"Dense_0": {"kernel": jnp.asarray(w)[:, None], "bias": jnp.asarray([b])}}

    def loss(params, source, target):
        outputs = (Output(x, jnp.zeros((len(x), 2))) for x in (source, target))
        return method.loss(loss_context(*outputs, params=params, progress=progress))

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1, 2))(params, jnp.asarray(source), jnp.asarray(target))
    return value, gradients


@pytest.mark.parametrize("scaled", ["encoder", "both"])
@pytest.mark.parametrize("domain_loss", ["sum", "mean"])
@pytest.mark.parametrize(("schedule", "progress"), [("constant", 0.3), ("ramp", 0.3), ("ramp", 0.9)])
def test_gradients_equal_the_papers(scaled, domain_loss, schedule, progress, rng, x64):
    """The encoder gets -lambda times the plain gradient; the classifier its own, times lambda if both are scaled."""
    source, target, w, b = sample(rng)
    method = Dann(weight=0.7, schedule=schedule, widths=(), scaled=scaled, domain_loss=domain_loss)
    strength = 0.7 * (2 / (1 + np.exp(-10 * progress)) - 1 if schedule == "ramp" else 1)
    half = 1.0 if domain_loss == "sum" else 0.5
    loss, features, (own_w, own_b) = by_hand(source, target, w, b)
    value, (params, to_source, to_target) = term_and_gradients(method, source, target, w, b, progress)

    own = strength if scaled == "both" else 1.0
    assert value == pytest.approx(half * own * loss, rel=1e-12)
    np.testing.assert_allclose(to_source, -strength * half * features[0], rtol=1e-10)
    np.testing.assert_allclose(to_target, -strength * half * features[1], rtol=1e-10)
    np.testing.assert_allclose(params["Dense_0"]["kernel"][:, 0], own * half * own_w, rtol=1e-10)
    assert params["Dense_0"]["bias"][0] == pytest.approx(own * half * own_b, rel=1e-10)


def test_at_the_start_the_ramp_trains_the_classifier_alone(rng, x64):
    _, (params, to_source, _) = term_and_gradients(Dann(widths=()), *sample(rng), 0.0)
    assert np.abs(to_source).max() == 0
    assert np.abs(params["Dense_0"]["kernel"]).max() > 0.01


@pytest.mark.parametrize("widths", [(), (4,)])
def test_with_start_zero_the_domain_classifier_begins_undecided(widths, rng):
    """Algorithm 1 starts u and d at 0. Hidden layers, which it lacks, must start at random to get a gradient."""
    features = jnp.asarray(rng.normal(size=(ROWS, WIDTH)), jnp.float32)
    output = Output(features, jnp.zeros((ROWS, 2)))
    params, random = (
        Dann(widths=widths, start=start).init(jax.random.key(0), method_spec(output)).params
        for start in ("zero", "random")
    )
    assert not Discriminator(widths).logits(params, features).any()
    assert np.abs(Discriminator(widths).logits(random, features)).min() > 0
    own = jax.grad(
        lambda params: Dann(widths=widths).loss(
            loss_context(output, output._replace(features=features + 1), params=params, progress=1.0)
        )
    )(params)
    assert np.abs(own[f"Dense_{len(widths)}"]["kernel"]).min() > 0


def test_many_small_steps_equal_the_authors_code(rng, x64):
    """Their loop over rows, with both sides scaled by lambda and one update of all parameters; linear encoder."""
    weight, rate, sources, targets = 0.3, 0.1, rng.normal(size=(50, 2)), rng.normal(size=(50, 2)) + 1
    encoder, u, d = rng.normal(size=(2, WIDTH)), np.zeros(WIDTH), 0.0
    method, our_encoder = (
        Dann(weight=weight, schedule="constant", widths=(), scaled="both", start="zero"),
        jnp.asarray(encoder),
    )
    output = Output(jnp.zeros((1, WIDTH)), jnp.zeros((1, 2)))
    params = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64), method.init(jax.random.key(0), method_spec(output)).params
    )

    @jax.jit
    def slopes(encoder, params, source, target):
        outputs = (Output(x[None] @ encoder, jnp.zeros((1, 2))) for x in (source, target))
        return method.loss(loss_context(*outputs, params=params, progress=1.0))

    for source, target in zip(sources, targets, strict=True):
        of_encoder, of_params = jax.grad(slopes, (0, 1))(our_encoder, params, source, target)
        our_encoder, params = jax.tree.map(
            lambda value, slope: value - rate * slope, (our_encoder, params), (of_encoder, of_params)
        )

        g_source, g_target = (1 / (1 + np.exp(-(u @ (x @ encoder) + d))) for x in (source, target))
        up = weight * ((1 - g_source) * (source @ encoder) - g_target * (target @ encoder))
        encoder_update = weight * (np.outer(source, (1 - g_source) * u) - np.outer(target, g_target * u))
        u, d, encoder = u + rate * up, d + rate * weight * (1 - g_source - g_target), encoder - rate * encoder_update
    np.testing.assert_allclose(our_encoder, encoder, rtol=1e-9)
    np.testing.assert_allclose(params["Dense_0"]["kernel"][:, 0], u, rtol=1e-9)
    assert params["Dense_0"]["bias"][0] == pytest.approx(d, rel=1e-9)
