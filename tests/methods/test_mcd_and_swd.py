"""The three updates of MCD and SWD against gradients by hand, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.types import Batch
from da_bench.methods import Mcd, Swd, Trainer, mcd
from tests.helpers import tiny

RATE = 0.1


def initial_run(rng, method, **training):
    """Trainer, state and batch of a run, by default with plain gradient descent."""
    settings = train.Training(
        steps=4, evaluations=1, learning_rate=RATE, **{"decay_rate": 0.0, "momentum": 0.0, **training}
    )
    source, target = rng.normal(size=(7, 2)), rng.normal(size=(5, 2)) + 1
    batch = Batch(*map(jnp.asarray, (source, np.arange(7) % 3, target, np.arange(5))))
    trainer = Trainer(tiny.MODEL.clone(classes=3), settings.make_optimizer(), 4)
    return trainer, train.init_state(jax.random.key(0), method, trainer, batch.source, 5), batch


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def parts(state):
    """Encoder W and b, first classifier W and b, second classifier W and b, as numpy arrays."""
    model, second = state.params["model"], state.params["method"]["Dense_0"]
    layers = model["layers_0"], model["head"], second
    return [np.asarray(layer[name]) for layer in layers for name in ("kernel", "bias")]


def by_hand(weights, batch, weight):
    """Source loss, disagreement, and the gradients of both along `parts`, by the chain rule."""
    w, b, w1, b1, w2, b2 = weights
    x, y, t = (np.asarray(each) for each in batch[:3])
    h, ht = np.tanh(x @ w + b), np.tanh(t @ w + b)
    hot = np.eye(3)[y]
    task, of_task, dh = 0.0, [], 0.0
    for head, bias in ((w1, b1), (w2, b2)):
        p = softmax(h @ head + bias)
        task -= np.log(p[np.arange(len(y)), y]).mean()
        dz = (p - hot) / len(y)
        of_task += [h.T @ dz, dz.sum(axis=0)]
        dh = dh + dz @ head.T
    da = dh * (1 - h**2)
    of_task = [x.T @ da, da.sum(axis=0), *of_task]
    p1, p2 = softmax(ht @ w1 + b1), softmax(ht @ w2 + b2)
    sign = weight * np.sign(p1 - p2) / p1.size
    of_gap, dh = [], 0.0
    for p, g, head in ((p1, sign, w1), (p2, -sign, w2)):
        dz = p * (g - (g * p).sum(axis=1, keepdims=True))
        of_gap += [ht.T @ dz, dz.sum(axis=0)]
        dh = dh + dz @ head.T
    da = dh * (1 - ht**2)
    return task, weight * np.abs(p1 - p2).mean(), of_task, [t.T @ da, da.sum(axis=0), *of_gap]


def test_three_updates_equal_gradient_descent_by_hand(rng, x64):
    method = Mcd(weight=2.0, num_k=2)
    trainer, state, batch = initial_run(rng, method)
    after, metrics = method.step(trainer, state, batch)

    weights = parts(state)
    task, _, of_task, _ = by_hand(weights, batch, 2.0)
    weights = [w - RATE * g for w, g in zip(weights, of_task, strict=True)]  # A: everything
    _, gap, of_task, of_gap = by_hand(weights, batch, 2.0)
    weights[2:] = [w - RATE * (g - d) for w, g, d in zip(weights[2:], of_task[2:], of_gap[2:], strict=True)]  # B: heads
    for _ in range(2):  # C: the encoder
        *_, of_gap = by_hand(weights, batch, 2.0)
        weights[:2] = [w - RATE * g for w, g in zip(weights[:2], of_gap[:2], strict=True)]
    for updated, expected in zip(parts(after), weights, strict=True):
        np.testing.assert_allclose(updated, expected, rtol=1e-9)
    assert metrics["task"] == pytest.approx(task, rel=1e-10)
    assert metrics["alignment"] == pytest.approx(gap, rel=1e-10)
    assert after.step == 1


@pytest.mark.parametrize("method", [Mcd(num_k=1), Swd(num_k=1, projections=8)], ids=["mcd", "swd"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_parameters_outside_an_update_stay_to_the_bit(method, optimizer, rng, x64):
    """Momentum and weight decay would change them; their optimizer state stays too."""
    trainer, state, batch = initial_run(rng, method, momentum=0.9, weight_decay=0.1, optimizer=optimizer)
    state, _ = tiny.step(method, trainer, state, batch)  # so that there is momentum

    def gap(p, q, key):
        return jnp.mean(jnp.abs(p - q))

    heads, _ = mcd._maximise_disagreement(trainer, state, batch, gap, jax.random.key(1))
    encoder = mcd._minimise_disagreement(trainer, state, batch, gap, jax.random.key(1))
    for partly_updated, excluded in ((heads, slice(0, 2)), (encoder, slice(2, 6))):
        for i, (before, after) in enumerate(zip(parts(state), parts(partly_updated), strict=True)):
            assert np.array_equal(before, after) == (i in range(*excluded.indices(6)))
    memories = [
        jax.tree.leaves(s.opt_state, is_leaf=lambda x: isinstance(x, dict) and "model" in x) for s in (state, heads)
    ]
    head_memories = [[m["model"]["layers_0"]["kernel"] for m in memory if isinstance(m, dict)] for memory in memories]
    assert head_memories[0]
    assert all(np.array_equal(a, b) for a, b in zip(*head_memories, strict=True))


def test_the_learning_rate_advances_once_per_step(rng, x64):
    method = Mcd(num_k=3)
    trainer, state, batch = initial_run(rng, method)
    for _ in range(2):
        state, _ = tiny.step(method, trainer, state, batch)
    assert state.opt_state[-1].count == 2


@pytest.mark.conformance
@pytest.mark.parametrize("method", [Mcd(), Swd()], ids=["mcd", "swd"])
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_extreme_logits_and_one_row_stay_finite(method, scale, rng):
    trainer, state, batch = initial_run(rng, method)
    state = state._replace(params=jax.tree.map(lambda x: (scale * x).astype(jnp.float32), state.params))
    one_row = Batch(*(x[:1].astype(jnp.float32 if x.dtype.kind == "f" else jnp.int32) for x in batch))
    after, metrics = method.step(trainer, state, one_row)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after.params, metrics)))
