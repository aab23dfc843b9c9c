"""WDGRL: the critic's loss by hand, and which parameters critic and network update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.methods import SourceOnly, Trainer, Wdgrl
from da_bench.models import Mlp
from tests.helpers import tiny

KEY = jax.random.key(0)


def prepared(rng, method, sources=6, targets=4):
    trainer = Trainer(Mlp(hidden=(4,), classes=3), train.Training(learning_rate=0.1).make_optimizer(), 10)
    arrays = (
        rng.normal(size=(sources, 2)),
        np.arange(sources) % 3,
        rng.normal(size=(targets, 2)) + 1,
        np.arange(targets),
    )
    batch = Batch(*map(jnp.asarray, arrays))
    return trainer, batch, train.init_state(KEY, method, trainer, batch.source, targets)


def test_the_loss_of_a_linear_critic_has_a_closed_form(rng, x64):
    """The slope is |w| at every point, also at the random ones; 4 target rows and 6 source rows."""
    source, target, w = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.normal(size=3)
    critic = {"Dense_0": {"kernel": jnp.asarray(w)[:, None], "bias": jnp.asarray([0.4])}}
    loss = Wdgrl(widths=(), penalty=7.0).critic_loss(critic, jnp.asarray(source), jnp.asarray(target), KEY)
    expected = 7 * (np.linalg.norm(w) - 1) ** 2 - (source.mean(axis=0) - target.mean(axis=0)) @ w
    assert loss == pytest.approx(expected, rel=1e-12)


def test_a_penalised_critic_finds_the_distance_of_two_points(rng, x64):
    """Points at 0 and at (3, 4) have distance 5; with penalty gamma the optimal slope is 1 + 5 / (2 gamma)."""
    method = Wdgrl(widths=(), penalty=10.0, critic_steps=3000, critic_rate=0.003)
    source, target = jnp.tile(jnp.asarray([[3.0, 4.0]]), (4, 1)), jnp.zeros((4, 2))
    critic = {"Dense_0": {"kernel": jnp.asarray([[0.5], [0.1]]), "bias": jnp.zeros(1)}}
    memory = {"critic": critic, "optimizer": optax.adam(0.003).init(critic)}
    updated = method.update_critic(memory, source, target, KEY)
    assert method.distance(updated["critic"], source, target) == pytest.approx(5 * (1 + 5 / 20), rel=1e-3)


def test_one_step_updates_the_critic_and_then_the_features(rng, x64):
    """The network's gradient is the task's + weight * that of the updated critic, held fixed."""
    method = Wdgrl(weight=0.7, critic_steps=2, critic_rate=0.01, widths=())
    trainer, batch, state = prepared(rng, method)
    after, metrics = method.step(trainer, state, batch)
    w = after.memory["critic"]["Dense_0"]["kernel"][:, 0]
    assert not np.array_equal(w, state.memory["critic"]["Dense_0"]["kernel"][:, 0])

    def objective(model):
        outputs = [trainer.forward(model, {}, inputs)[0] for inputs in (batch.source, batch.target)]
        task = optax.softmax_cross_entropy_with_integer_labels(outputs[0].logits, batch.labels).mean()
        means = [output.features.mean(axis=0) for output in outputs]
        return task + 0.7 * (means[0] - means[1]) @ w

    value, gradients = jax.value_and_grad(objective)(state.params["model"])
    assert metrics["loss"] == pytest.approx(float(value), rel=1e-10)
    expected = jax.tree.map(lambda x, g: x - 0.1 * g, state.params["model"], gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), after.params["model"], expected)


def test_without_weight_the_network_learns_the_source_alone(rng, x64):
    trainer, batch, state = prepared(rng, Wdgrl())
    plain = train.init_state(KEY, SourceOnly(), trainer, batch.source, 4)
    for _ in range(3):
        state, _ = tiny.step(Wdgrl(weight=0.0), trainer, state, batch)
        plain, _ = tiny.step(SourceOnly(), trainer, plain, batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), state.params["model"], plain.params["model"]
    )
