"""Two-phase methods: vmapped runs whose phases change at different steps equal the runs alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch, Output
from da_bench.methods import Adda, Mcd, Nrc, Shot, Swd, Tent
from da_bench.methods._two_phase import smoothed_cross_entropy
from tests.helpers import tiny

SHARES = (0.0, 0.4, 1.0)


def logits(runs, together):
    task = tiny.task()
    data = train.gather_data(task.source.train, task.target.train.inputs, [task.target.test.inputs])
    data = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)
    model = tiny.model_for(runs[0][1]).clone(classes=3)

    def one_run(key, method, training, data):
        return train.train_run(key, method, training, model, data).logits

    if together:
        return train.over_runs(one_run, jax.devices()[:1])(train.stack_runs(runs, 1), (data,))
    alone = jax.jit(one_run)
    return jnp.stack([alone(*run, data) for run in runs])


@pytest.mark.parametrize("cls", [Adda, Tent, Shot, Nrc], ids=lambda cls: cls.name)
def test_runs_with_other_phases_computed_together_equal_runs_alone(cls, x64):
    small = {"widths": (4,)} if cls is Adda else {}
    runs = [(jax.random.key(0), cls(pretrain=share, restart=True, **small), tiny.TRAINING) for share in SHARES]
    together = logits(runs, True)
    np.testing.assert_allclose(together, logits(runs, False), atol=1e-10)
    assert len({float(run[-1, 0, 0]) for run in together}) == 3  # the share changes the result


@pytest.mark.parametrize("restart_at", [0.0, 0.3, 0.5, 1.0])
def test_each_phase_has_the_learning_rates_of_its_own_run(restart_at):
    settings = dataclasses.replace(tiny.TRAINING, steps=20, evaluations=1, momentum=0.0)
    first = round(20 * restart_at)
    expected = [0.1 / (1 + 10 * i / n) ** 0.75 for n in (first, 20 - first) for i in range(n)]
    np.testing.assert_allclose(
        rates(settings.make_optimizer(restart_at=jnp.asarray(restart_at)), 20), expected, rtol=1e-6
    )


def rates(optimiser, steps):
    """Length of each step for a gradient of 1."""
    state, rates_so_far = optimiser.init(jnp.zeros(())), []
    for _ in range(steps):
        update, state = optimiser.update(jnp.ones(()), state, jnp.zeros(()))
        rates_so_far.append(-float(update))
    return rates_so_far


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_a_restarted_optimizer_keeps_only_its_step_count(optimizer, x64):
    """At the restart, and only there, the optimizer state of the first phase has no effect."""
    model, settings = tiny.MODEL.clone(classes=3), dataclasses.replace(tiny.TRAINING, optimizer=optimizer, steps=12)
    method = Nrc(restart=True, pretrain=0.5)  # from the seventh step
    source, target = jax.random.normal(jax.random.key(0), (2, 6, 2))
    batch = Batch(source, jnp.arange(6) % 3, target, jnp.arange(6))
    trainer = train.make_trainer(train.RunSettings(jax.random.key(0), method, settings), model)
    initial = train.init_state(jax.random.key(0), method, trainer, batch.source, 6)
    step = jax.jit(lambda state: method.step(trainer, state, batch)[0])
    for number in (5, 6, 7):
        state = initial._replace(step=jnp.asarray(number), opt_state=with_step_count(initial.opt_state, number))
        with_momentum = state._replace(opt_state=jax.tree.map(lambda leaf: leaf + (leaf.ndim > 0), state.opt_state))
        same = jax.tree.map(lambda a, b: bool((a == b).all()), step(state).params, step(with_momentum).params)
        assert all(jax.tree.leaves(same["model"])) == (number == 6)


def with_step_count(opt_state, steps):
    """The optimizer state after this many steps without a gradient."""
    return jax.tree.map(lambda leaf: leaf + steps if leaf.ndim == 0 else leaf, opt_state)


@pytest.mark.conformance
@pytest.mark.parametrize("cls", [Mcd, Swd], ids=lambda cls: cls.name)
def test_runs_with_three_updates_computed_together_equal_runs_alone(cls, x64):
    runs = [
        (jax.random.key(seed), cls(num_k=2, weight=weight), tiny.TRAINING) for seed in (0, 1) for weight in (0.5, 2.0)
    ]
    np.testing.assert_allclose(logits(runs, True), logits(runs, False), atol=1e-10)


def test_label_smoothing_by_hand(rng, x64):
    z, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    output = Output(jnp.zeros((5, 2)), jnp.asarray(z))
    assert smoothed_cross_entropy(output, labels, 0.0) == pytest.approx(-log_p[np.arange(5), labels].mean(), rel=1e-12)
    assert smoothed_cross_entropy(output, labels, 1.0) == pytest.approx(-log_p.mean(), rel=1e-12)
