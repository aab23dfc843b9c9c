"""BSP, CDAN and MDD against calculations by hand in float64: values and signs of the gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch, Output
from da_bench.methods import Bsp, Cdan, Dann, Mdd, Trainer
from da_bench.models import Mlp
from tests.helpers.method_inputs import loss_context, method_spec


def outputs(rng):
    return [Output(*(jnp.asarray(rng.normal(size=(n, width))) for width in (4, 3))) for n in (6, 5)]


def term(method, params, pair, progress=0.5, constants=None):
    return method.loss(loss_context(*pair, params=params, constants=constants, progress=progress))


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_bsp_adds_the_largest_singular_values_to_dann(rng, x64):
    pair = outputs(rng)
    method = Bsp(weight=0.7, widths=(), spectral_weight=0.01, values=2)
    params = method.init(jax.random.key(1), method_spec(pair[0])).params
    roots = [np.sort(np.linalg.eigvalsh(np.asarray(x.features).T @ x.features))[::-1] for x in pair]
    added = term(method, params, pair) - term(Dann(weight=0.7, widths=()), params, pair)
    assert added == pytest.approx(0.7 * 0.01 * sum(root[:2].sum() for root in roots), rel=1e-10)


@pytest.mark.parametrize("which", [Cdan, Bsp], ids=["cdan", "bsp"])
def test_mean_domain_loss_is_half_of_the_sum(which, rng, x64):
    """The spectral term of BSP is not halved."""
    pair, fields = outputs(rng), {"weight": 0.7, "widths": ()}
    plain = {} if which is Cdan else {"spectral_weight": 0.0}
    params = which(**fields).init(jax.random.key(1), method_spec(pair[0])).params
    full, half = (
        jax.value_and_grad(lambda pair, method=method: term(method, params, pair))(pair)
        for method in (which(**fields, **plain), which(**fields, **plain, domain_loss="mean"))
    )
    for halved, summed in zip(jax.tree.leaves(half), jax.tree.leaves(full), strict=True):
        np.testing.assert_allclose(2 * halved, summed, rtol=1e-12)
    if which is Bsp:
        spectral = [
            term(Bsp(**fields, spectral_weight=0.5, domain_loss=kind), params, pair) - loss
            for kind, loss in (("sum", full[0]), ("mean", half[0]))
        ]
        assert float(spectral[0]) == pytest.approx(float(spectral[1]), rel=1e-10)


def test_the_spectral_term_moves_features_along_their_first_singular_vectors(rng, x64):
    """d sigma^2 / dF = 2 sigma u v', not reversed; the rest is DANN's gradient."""
    pair = outputs(rng)
    params = Bsp(widths=()).init(jax.random.key(1), method_spec(pair[0])).params
    full, dann = (
        jax.grad(lambda pair, method=method: term(method, params, pair))(pair)[1].features
        for method in (Bsp(widths=(), spectral_weight=0.5), Dann(widths=()))
    )
    u, s, v = np.linalg.svd(np.asarray(pair[1].features))
    np.testing.assert_allclose(full - dann, 0.5 * 2 * s[0] * np.outer(u[:, 0], v[0]), atol=1e-10)


def logistic(width, rng):
    w, b = rng.normal(size=width), rng.normal()
    return w, b, {"Dense_0": {"kernel": jnp.asarray(w)[:, None], "bias": jnp.asarray([b])}}


def cdan_by_hand(pair, w, b, conditioning):
    """The loss, and the plain gradient of features, of a logistic classifier of the outer products."""
    p = [softmax(np.asarray(x.logits)) for x in pair]
    weights = [np.ones(len(x)) for x in p]
    if conditioning != "none":
        weights = [np.array([1 + np.exp(np.sum(row * np.log(row))) for row in x]) for x in p]
    if conditioning == "normalised":
        weights = [x / np.concatenate(weights).mean() for x in weights]
    loss, gradients = 0.0, []
    for x, g, weight, sign in zip(pair, p, weights, (1, -1), strict=True):
        rows = []
        for f, q, row_weight in zip(np.asarray(x.features), g, weight, strict=True):
            score = sign * (np.outer(f, q).ravel() @ w + b)
            loss += row_weight * np.log1p(np.exp(-score)) / len(g)
            rows.append(-sign * row_weight / (1 + np.exp(score)) / len(g) * (w.reshape(4, 3) @ q))
        gradients.append(np.array(rows))
    return loss, gradients


@pytest.mark.parametrize("conditioning", ["none", "plain", "normalised"])
def test_cdan_classifies_outer_products_and_reverses_the_gradient_of_the_features(conditioning, rng, x64):
    pair = outputs(rng)
    w, b, params = logistic(12, rng)
    method = Cdan(weight=0.7, schedule="constant", widths=(), entropy_conditioning=conditioning)
    value, gradients = jax.value_and_grad(lambda pair: term(method, params, pair))(pair)
    expected, plain = cdan_by_hand(pair, w, b, conditioning)
    assert value == pytest.approx(expected, rel=1e-12)
    for gradient, expected_gradient in zip(gradients, plain, strict=True):
        np.testing.assert_allclose(gradient.features, -0.7 * expected_gradient, rtol=1e-9)
        assert (gradient.logits == 0).all()


def test_cdan_classifies_products_of_its_random_projections(rng, x64):
    pair = outputs(rng)
    method = Cdan(widths=(), joint="random", random_width=7)
    own = method.init(jax.random.key(2), method_spec(pair[0])).constants
    w, b, params = logistic(7, rng)
    rows = [np.asarray(x.features @ own["features"]) * (softmax(np.asarray(x.logits)) @ own["logits"]) for x in pair]
    scores = [row / np.sqrt(7) @ w + b for row in rows]
    expected = np.log1p(np.exp(-scores[0])).mean() + np.log1p(np.exp(scores[1])).mean()
    assert term(method, params, pair, constants=own) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("width", "random"), [(1365, False), (1366, True)])
def test_cdan_uses_random_projections_above_4096_entries(width, random):
    output = Output(jnp.zeros((1, width)), jnp.zeros((1, 3)))
    method = Cdan(widths=(), random_width=8)
    own = method.init(jax.random.key(0), method_spec(output))
    kernel = own.params["Dense_0"]["kernel"]
    assert len(kernel) == (8 if random else 3 * width)
    assert bool(own.constants) == random


def test_cdans_projections_never_change(rng):
    """Weight decay would shrink them if they were parameters."""
    trainer = Trainer(Mlp(hidden=(4,), classes=3), train.Training(weight_decay=0.1).make_optimizer(), 10)
    batch = Batch(*map(jnp.asarray, (rng.normal(size=(6, 2)), np.arange(6) % 3, rng.normal(size=(6, 2)), np.arange(6))))
    method = Cdan(joint="random", random_width=5, widths=(3,))
    state = train.init_state(jax.random.key(0), method, trainer, batch.source, 6)
    other_state = train.init_state(jax.random.key(1), method, trainer, batch.source, 6)
    after, _ = method.step(trainer, state, batch)
    np.testing.assert_array_equal(after.constants["features"], state.constants["features"])
    assert not np.array_equal(state.constants["features"], other_state.constants["features"])
    before, updated = (x.params["method"]["Dense_0"]["kernel"] for x in (state, after))
    assert not np.array_equal(before, updated)


def mdd_by_hand(pair, w, margin):
    """The loss, and its plain gradients of features and of the linear second classifier."""
    n, m = (len(x.features) for x in pair)
    (f, t), (on_source, on_target) = [np.asarray(x.features) for x in pair], [softmax(x.features @ w) for x in pair]
    rows, others = np.asarray(pair[0].logits).argmax(axis=1), np.asarray(pair[1].logits).argmax(axis=1)
    p, q = on_source[np.arange(n), rows], on_target[np.arange(m), others]
    loss = -margin * np.log(p).mean() - np.log(1 - q).mean()
    d_source = margin * (on_source - np.eye(3)[rows]) / n
    d_target = (q / (1 - q))[:, None] * (np.eye(3)[others] - on_target) / m
    return loss, (d_source @ w.T, d_target @ w.T), f.T @ d_source + t.T @ d_target


def test_mdd_trains_its_second_classifier_and_reverses_the_gradient_of_the_features(rng, x64):
    pair, w = outputs(rng), rng.normal(size=(4, 3))
    method = Mdd(weight=0.3, schedule="constant", margin=2.0, widths=())
    params = {"Dense_0": {"kernel": jnp.asarray(w), "bias": jnp.zeros(3)}}
    value, (own, gradients) = jax.value_and_grad(lambda both: term(method, *both))((params, pair))
    expected, plain, of_w = mdd_by_hand(pair, w, 2.0)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(own["Dense_0"]["kernel"], of_w, rtol=1e-9)
    for gradient, expected_gradient in zip(gradients, plain, strict=True):
        np.testing.assert_allclose(gradient.features, -0.3 * expected_gradient, rtol=1e-9)
        assert (gradient.logits == 0).all()


def test_mdd_stays_finite_for_certain_predictions():
    """If the second classifier is certain of the first one's class, log(1 - p) is minus the logits' difference."""
    params = {"Dense_0": {"kernel": 1e4 * jnp.eye(2), "bias": jnp.zeros(2)}}
    pair = [Output(jnp.asarray([[1.0, 0.0]]), jnp.asarray([[5.0, 0.0]]))] * 2
    value, gradient = jax.value_and_grad(lambda params: term(Mdd(widths=()), params, pair))(params)
    assert value == pytest.approx(1e4)
    assert jnp.isfinite(gradient["Dense_0"]["kernel"]).all()
