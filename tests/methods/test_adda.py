"""ADDA: its two losses and their gradients by hand, and what is updated in which phase."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.methods import Adda, SourceOnly, Trainer
from tests.helpers import tiny


def initial_run(rng, method, steps=4):
    settings = train.Training(steps=steps, evaluations=1, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    batch = Batch(*map(jnp.asarray, (rng.normal(size=(7, 2)), np.arange(7) % 3, rng.normal(size=(5, 2)), np.arange(5))))
    trainer = Trainer(tiny.MODEL.clone(classes=3), settings.make_optimizer(), steps)
    return trainer, train.init_state(jax.random.key(0), method, trainer, batch.source, 5), batch


def equal_bits(tree, other_tree):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other_tree), strict=True))


def test_losses_and_gradients_equal_the_papers(rng, x64):
    """Labels are 1 (source) and 0 (target), inverted in the encoder's loss; no gradient is reversed."""
    source, target, w, b = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal()
    params = {"Dense_0": {"kernel": jnp.asarray(w)[:, None], "bias": jnp.asarray([b])}}
    method = Adda(weight=0.7, widths=())

    def total(params, source, target):
        return sum(method.losses(params, source, target))

    p_source, p_target = (1 / (1 + np.exp(-(x @ w + b))) for x in (source, target))
    domain, alignment = method.losses(params, jnp.asarray(source), jnp.asarray(target))
    assert domain == pytest.approx(-np.log(p_source).mean() - np.log(1 - p_target).mean(), rel=1e-12)
    assert alignment == pytest.approx(-0.7 * np.log(p_target).mean(), rel=1e-12)
    of_params, of_source, of_target = jax.grad(total, argnums=(0, 1, 2))(
        params, jnp.asarray(source), jnp.asarray(target)
    )
    assert np.abs(of_source).max() == 0
    np.testing.assert_allclose(of_target, 0.7 * np.outer(p_target - 1, w) / 4, rtol=1e-10)
    own = source.T @ (p_source - 1) / 6 + target.T @ p_target / 4
    np.testing.assert_allclose(of_params["Dense_0"]["kernel"][:, 0], own, rtol=1e-10)


def test_the_second_phase_updates_the_target_encoder_and_the_domain_classifier(rng, x64):
    method = Adda(pretrain=0.5, widths=(4,))
    trainer, state, batch = initial_run(rng, method)
    plain = train.init_state(jax.random.key(0), SourceOnly(), trainer, batch.source, 5)
    for _ in range(2):
        before = state
        state, _ = tiny.step(method, trainer, state, batch)
        plain, _ = tiny.step(SourceOnly(), trainer, plain, batch)
    for adda_leaf, plain_leaf in zip(
        *map(jax.tree.leaves, (state.params["model"], plain.params["model"])), strict=True
    ):
        np.testing.assert_allclose(adda_leaf, plain_leaf, rtol=1e-12)
    assert equal_bits(state.params["method"], before.params["method"])
    assert equal_bits(state.memory["source"], state.params["model"])  # the copy with which the second phase begins
    adapted, _ = tiny.step(method, trainer, state, batch)
    assert equal_bits(adapted.memory, state.memory)
    assert equal_bits(adapted.params["model"]["head"], state.params["model"]["head"])
    assert not equal_bits(adapted.params["model"]["layers_0"], state.params["model"]["layers_0"])
    assert not equal_bits(adapted.params["method"], state.params["method"])
    assert adapted.step == 3


def test_a_whole_run_of_the_first_phase_is_source_only(rng):
    method = Adda(pretrain=1.0, widths=(4,))
    trainer, state, batch = initial_run(rng, method)
    plain = train.init_state(jax.random.key(0), SourceOnly(), trainer, batch.source, 5)
    for _ in range(4):
        state, _ = tiny.step(method, trainer, state, batch)
        plain, _ = tiny.step(SourceOnly(), trainer, plain, batch)
    np.testing.assert_allclose(
        state.params["model"]["head"]["kernel"], plain.params["model"]["head"]["kernel"], rtol=1e-6
    )
