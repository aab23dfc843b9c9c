"""Runs whose phases change at different steps, side by side, are those runs alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from da_bench import train
from da_bench.methods import Adda, Mcd, Nrc, Shot, Swd, Tent
from da_bench.methods.phases import smoothed_cross_entropy
from da_bench.types import Output

SHARES = (0.0, 0.4, 1.0)


def logits(runs, together):
    task = tiny.task()
    data = train.gather(task.source.train, task.target.train.inputs, [task.target.test.inputs])
    data = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)
    model = tiny.model_for(runs[0][1]).clone(classes=3)

    def one_run(key, method, training, data):
        return train.run(key, method, training, model, data).logits

    if together:
        return train.over_runs(one_run, jax.devices()[:1])(train.stack(runs, 1), (data,))
    alone = jax.jit(one_run)
    return jnp.stack([alone(*run, data) for run in runs])


@pytest.mark.parametrize("cls", [Adda, Tent, Shot, Nrc], ids=lambda cls: cls.name)
def test_runs_of_other_phases_together_are_those_runs_alone(cls, x64):
    runs = [(jax.random.key(0), cls(pretrain=share), tiny.TRAINING) for share in SHARES]
    together = logits(runs, True)
    np.testing.assert_allclose(together, logits(runs, False), atol=1e-10)
    assert len({float(one[-1, 0, 0]) for one in together}) == 3  # the share matters


@pytest.mark.parametrize("cls", [Mcd, Swd], ids=lambda cls: cls.name)
def test_runs_of_three_steps_together_are_those_runs_alone(cls, x64):
    runs = [
        (jax.random.key(seed), cls(num_k=2, weight=weight), tiny.TRAINING) for seed in (0, 1) for weight in (0.5, 2.0)
    ]
    np.testing.assert_allclose(logits(runs, True), logits(runs, False), atol=1e-10)


def test_smoothing_nothing_is_the_cross_entropy(rng, x64):
    z, labels = rng.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    output = Output(jnp.zeros((5, 2)), jnp.asarray(z))
    assert smoothed_cross_entropy(output, labels, 0.0) == pytest.approx(-log_p[np.arange(5), labels].mean(), rel=1e-12)
    assert smoothed_cross_entropy(output, labels, 1.0) == pytest.approx(-log_p.mean(), rel=1e-12)
