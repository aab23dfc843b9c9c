"""Tent and AdaBN: updated parameters, statistics for prediction, and networks without batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Batch
from da_bench.methods import AdaBn, SourceOnly, Tent, Trainer
from tests.helpers import tiny


def initial_run(rng, method, batch_norm="joint", model=tiny.NORMED):
    settings = train.Training(steps=4, evaluations=1, learning_rate=0.1, weight_decay=0.01)
    source, target = rng.normal(size=(7, 2)), 2 * rng.normal(size=(5, 2)) + 3
    batch = Batch(*map(jnp.asarray, (source, np.arange(7) % 3, target, np.arange(5))))
    trainer = Trainer(model.clone(classes=3), settings.make_optimizer(), 4, batch_norm=batch_norm)
    return trainer, train.init_state(jax.random.key(0), method, trainer, batch.source, 5), batch


def hidden(params, inputs):
    layer = params["hidden"]
    return np.asarray(inputs) @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])


def averages(before, params, inputs):
    """Running averages after one batch, with momentum 0.9."""
    h, norm = hidden(params, inputs), before["batch_stats"]["norm"]
    moments = {"mean": h.mean(axis=0), "var": h.var(axis=0)}
    return {name: 0.9 * np.asarray(norm[name]) + 0.1 * moment for name, moment in moments.items()}


@pytest.mark.parametrize("batch_norm", ["joint", "split", "domain_specific"])
def test_ada_bn_trains_as_source_only_and_keeps_the_targets_averages(batch_norm, rng, x64):
    trainer, state, batch = initial_run(rng, AdaBn(), batch_norm)
    after, _ = tiny.step(AdaBn(), trainer, state, batch)
    plain, _ = tiny.step(SourceOnly(), trainer, state, batch)
    for leaf, plain_leaf in zip(*map(jax.tree.leaves, (after.params, plain.params)), strict=True):
        np.testing.assert_allclose(leaf, plain_leaf, rtol=1e-9, atol=1e-12)
    is_domain_specific = batch_norm == "domain_specific"
    batches = {"target": batch.target, **({"source": batch.source} if is_domain_specific else {})}
    for domain, inputs in batches.items():
        begin, end = ((s.stats[domain] if is_domain_specific else s.stats) for s in (state, after))
        for name, expected in averages(begin, state.params["model"], inputs).items():
            np.testing.assert_allclose(end["batch_stats"]["norm"][name], expected, rtol=1e-9)


@pytest.mark.parametrize("batch_norm", ["joint", "domain_specific"])
def test_tent_moves_scales_and_shifts_alone_towards_less_entropy(batch_norm, rng, x64):
    method = Tent(pretrain=0.5)
    trainer, state, batch = initial_run(rng, method, batch_norm)
    for _ in range(2):
        state, _ = tiny.step(method, trainer, state, batch)
    after, metrics = tiny.step(method, trainer, state, batch)
    for layer, names in state.params["model"].items():
        for name, before in names.items():
            assert np.array_equal(before, after.params["model"][layer][name]) == (layer != "norm")

    h, norm = hidden(state.params["model"], batch.target), state.params["model"]["norm"]
    x = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-5)
    head = state.params["model"]["head"]

    def entropy(scale, shift):
        z = np.tanh(x * scale + shift) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.sum(p * np.log(p), axis=1).mean()

    scale, shift = np.asarray(norm["scale"]), np.asarray(norm["bias"])
    assert metrics["alignment"] == pytest.approx(entropy(scale, shift), rel=1e-9)
    nudge = np.eye(6)[2] * 1e-6
    slope = (entropy(scale, shift + nudge) - entropy(scale, shift - nudge)) / 2e-6
    traces = [s.opt_state[1].trace["model"]["norm"]["bias"][2] for s in (state, after)]
    gradient = traces[1] - 0.9 * traces[0] - 0.01 * shift[2]
    assert gradient == pytest.approx(slope, rel=1e-6)
    assert np.array_equal(*(s.opt_state[1].trace["model"]["hidden"]["kernel"] for s in (state, after)))


def test_tent_learns_the_source_first(rng, x64):
    trainer, state, batch = initial_run(rng, Tent(pretrain=1.0), "domain_specific")
    after, _ = tiny.step(Tent(pretrain=1.0), trainer, state, batch)
    plain, _ = tiny.step(SourceOnly(), trainer, state, batch)
    for leaf, plain_leaf in zip(*map(jax.tree.leaves, (after.params, plain.params)), strict=True):
        np.testing.assert_allclose(leaf, plain_leaf, rtol=1e-9, atol=1e-12)
    for leaf, plain_leaf in zip(*map(jax.tree.leaves, (after.stats["target"], after.stats["source"])), strict=True):
        np.testing.assert_array_equal(leaf, plain_leaf)


@pytest.mark.parametrize("method", [AdaBn(), Tent()], ids=["ada_bn", "tent"])
def test_a_network_without_batch_normalisation_is_refused(method, rng):
    trainer, state, batch = initial_run(rng, method, model=tiny.MODEL)
    with pytest.raises(UserError, match=f"{type(method).__name__} adapts batch normalisation.*another method"):
        method.step(trainer, state, batch)
    assert method.metadata.needs_batch_norm
