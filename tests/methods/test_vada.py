"""VADA: the perturbation against the eigenvector that it approximates, and the objective against its parts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.losses.entropy import kl_divergence
from da_bench.methods import Dann, EntropyMinimisation, SourceOnly, Trainer, Vada
from da_bench.methods.vada import _with_length
from da_bench.models import Mlp
from tests.helpers import tiny
from tests.helpers.method_inputs import loss_context

KEY = jax.random.key(0)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def kl(clean, perturbed):
    p, q = softmax(clean), softmax(perturbed)
    return np.mean(np.sum(p * np.log(p / q), axis=1))


def linear(w, inputs, offsets_seen):
    """Clean logits of a linear classifier, and the `divergences` for `vat_loss`, which record their offsets."""
    clean = [x @ w for x in inputs]

    def divergences(model, offsets):
        offsets_seen.append(offsets)
        return tuple(kl_divergence(c, (x + o) @ model) for c, x, o in zip(clean, inputs, offsets, strict=True))

    return clean, divergences


def test_of_two_classes_the_perturbation_goes_along_the_difference_of_their_weights(rng, x64):
    """For a linear classifier of two classes one direction matters, so one step of power iteration finds it."""
    w, inputs = rng.normal(size=(3, 2)), (rng.normal(size=(5, 3)), rng.normal(size=(4, 3)))
    clean, divergences = linear(w, inputs, [])
    result = Vada(radius=0.5, probe=1e-3).vat_loss(divergences, jnp.asarray(w), tuple(map(jnp.asarray, inputs)), KEY)
    direction = 0.5 * (w[:, 0] - w[:, 1]) / np.linalg.norm(w[:, 0] - w[:, 1])
    for value, x, c in zip(result, inputs, clean, strict=True):
        ahead, back = ([kl(c[[i]], (x[[i]] + sign * direction) @ w) for i in range(len(x))] for sign in (1, -1))
        # the sign is the probe's: of each row, one of the two
        assert min(np.abs(value - np.mean(choice)) for choice in _signs(ahead, back)) < 1e-8


def _signs(ahead, back):
    """Every choice of one of two signs for each row."""
    n = len(ahead)
    for choice in range(2**n):
        yield [ahead[i] if choice >> i & 1 else back[i] for i in range(n)]


def test_the_perturbation_carries_no_gradient(rng, x64):
    w, inputs, offsets_seen = rng.normal(size=(3, 4)), (rng.normal(size=(5, 3)), rng.normal(size=(4, 3))), []
    _, divergences = linear(w, inputs, offsets_seen)
    arguments = tuple(map(jnp.asarray, inputs)), KEY
    Vada(radius=0.5).vat_loss(divergences, jnp.asarray(w), *arguments)
    worst = offsets_seen[-1]
    assert all(np.allclose(np.linalg.norm(x, axis=1), 0.5) for x in worst)
    result = jax.grad(lambda w: sum(Vada(radius=0.5).vat_loss(divergences, w, *arguments)))(jnp.asarray(w))
    np.testing.assert_allclose(result, jax.grad(lambda w: sum(divergences(w, worst)))(jnp.asarray(w)), rtol=1e-10)


def test_rows_are_scaled_to_one_length_and_zeros_stay(rng, x64):
    x = rng.normal(size=(3, 2, 4))
    x[1] = 0
    result = np.asarray(_with_length(jnp.asarray(x), 3.5)).reshape(3, -1)
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), [3.5, 0, 3.5], rtol=1e-12)


def prepared(rng, method):
    trainer = Trainer(Mlp(hidden=(4,), classes=3), train.Training(learning_rate=0.1).make_optimizer(), 10)
    arrays = rng.normal(size=(6, 2)), np.arange(6) % 3, rng.normal(size=(5, 2)) + 1, np.arange(5)
    batch = Batch(*map(jnp.asarray, arrays))
    return trainer, batch, train.init_state(KEY, method, trainer, batch.source, 5)


@pytest.mark.conformance
def test_without_smoothness_its_step_is_danns_with_entropy(rng, x64):
    """With an infinitely short perturbation, DANN's term and the target's entropy remain."""
    method = Vada(weight=0.8, domain_weight=0.3, target_weight=0.2, radius=1e-12, widths=(3,))
    trainer, batch, state = prepared(rng, method)
    after, _ = method.step(trainer, state, batch)

    def objective(params):
        source, target, _ = trainer.forward_domains(params["model"], {}, batch, KEY)
        task = optax.softmax_cross_entropy_with_integer_labels(source.logits, batch.labels).mean()
        dann = Dann(weight=0.8 * 0.3, schedule="constant", widths=(3,))
        entropy = EntropyMinimisation(weight=0.8 * 0.2)
        ctx = loss_context(source, target, batch.labels, params["method"], progress=0.0)
        return task + dann.loss(ctx) + entropy.loss(ctx)

    expected = jax.tree.map(lambda x, g: x - 0.1 * g, state.params, jax.grad(objective)(state.params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-12), after.params, expected)


@pytest.mark.parametrize("side", ["source_weight", "target_weight"])
def test_the_smoothness_of_each_domain_has_its_own_weight(side, rng, x64):
    weights = {"domain_weight": 0.0, "source_weight": 0.0, "target_weight": 0.0}
    values = []
    for weight in (0.0, 1.0, 3.0):
        method = Vada(**{**weights, side: weight}, radius=1.0, widths=(3,))
        trainer, batch, state = prepared(np.random.default_rng(0), method)
        values.append(float(tiny.step(method, trainer, state, batch)[1]["alignment"]))
    assert values[1] - values[0] > 0
    assert values[2] - values[0] == pytest.approx(3 * (values[1] - values[0]), rel=1e-10)


def test_without_weight_the_network_learns_the_source_alone(rng, x64):
    method = Vada(weight=0.0)
    trainer, batch, state = prepared(rng, method)
    plain = train.init_state(KEY, SourceOnly(), trainer, batch.source, 5)
    for _ in range(3):
        state, _ = tiny.step(method, trainer, state, batch)
        plain, _ = tiny.step(SourceOnly(), trainer, plain, batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), state.params["model"], plain.params["model"]
    )
