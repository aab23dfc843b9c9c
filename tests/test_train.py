"""Many runs as one program are the runs one by one, whatever the devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from da_bench import train
from da_bench.methods import Coral, Dann, SourceOnly
from da_bench.settings import UserError

SEEDS, WEIGHTS = range(5), (0.0, 0.1, 0.3, 1.0, 3.0)
GRID = [(seed, weight) for seed in SEEDS for weight in WEIGHTS]


def data():
    task = tiny.task()
    return jax.tree.map(jnp.asarray, train.Data(task.source.train, task.target.train.inputs, task.target.test.inputs))


def one_run(key, method, training, data):
    return train.run(key, method, training, tiny.MODEL.clone(classes=3), data)


def arguments(seed, weight):
    return jax.random.key(seed), Dann(weight=weight, widths=(4,)), tiny.TRAINING


def logits(seed, weight):
    return jax.jit(one_run)(*arguments(seed, weight), data()).logits


@pytest.mark.parametrize("at_once", [None, 1, 2])
@pytest.mark.parametrize("devices", [1, 8])
def test_runs_together_equal_runs_one_by_one(devices, at_once, x64):
    runs = train.stack([arguments(*point) for point in GRID], devices)
    mapped = train.over_runs(one_run, jax.devices()[:devices], at_once)
    together = mapped(runs, (data(),)).logits
    assert together.shape[0] % devices == 0
    for i in (0, 7, len(GRID) - 1):
        np.testing.assert_allclose(together[i], logits(*GRID[i]), atol=1e-12)


def test_equals_pmap_of_vmap_on_eight_devices(x64):
    runs = train.stack([arguments(*point) for point in GRID], 8)
    ours = train.over_runs(one_run)(runs, (data(),)).logits
    folded = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), runs)
    theirs = jax.pmap(jax.vmap(one_run, in_axes=(0, 0, 0, None)), in_axes=(0, 0, 0, None))(*folded, data()).logits
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=1e-12)


def test_a_grid_of_weights_and_seeds_is_traced_once():
    traces = []

    def counted(*run):
        traces.append(1)
        return one_run(*run)

    mapped = train.over_runs(counted)
    for factor in (1.0, 2.0):  # other values, same program
        runs = train.stack([arguments(seed, factor * weight) for seed, weight in GRID], 8)
        mapped(runs, (data(),))
    # lax.map traces its function once; tracing twice would show here
    assert len(traces) == 1


def test_weight_is_a_leaf_that_changes_the_result():
    assert not np.allclose(logits(0, 0.0), logits(0, 3.0))


def test_learning_rate_is_a_leaf_too():
    slow, fast = (dataclasses.replace(tiny.TRAINING, learning_rate=rate) for rate in (0.01, 0.1))
    runs = train.stack([(jax.random.key(0), SourceOnly(), one) for one in (slow, fast)], 1)
    both = train.over_runs(one_run, jax.devices()[:1])(runs, (data(),)).logits
    assert not np.allclose(both[0], both[1])


def test_same_seed_same_bits_other_seed_other_bits():
    assert np.array_equal(logits(0, 1.0), logits(0, 1.0))
    assert not np.array_equal(logits(0, 1.0), logits(1, 1.0))


def test_no_run_touches_the_host():
    """What is compiled holds no callback, infeed or outfeed, so that a run is one launch."""
    text = jax.jit(one_run).lower(*arguments(0, 1.0), data()).as_text()
    assert not any(word in text for word in ("callback", "infeed", "outfeed", "send", "recv"))


def test_runs_share_nothing_across_devices():
    runs = train.stack([arguments(*point) for point in GRID], 8)
    text = train.over_runs(one_run).lower(runs, (data(),)).compile().as_text()
    assert not any(word in text for word in ("all-reduce", "all-gather", "all-to-all", "collective-permute"))


def test_stack_pads_with_the_last_run():
    padded = train.stack([{"a": jnp.asarray(i)} for i in range(5)], 4)
    assert padded["a"].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def test_an_epoch_holds_every_row_once():
    training = train.Training(steps=12, evaluations=3, batch_size=5)
    rows = train.draws(jax.random.key(0), 15, training).reshape(-1, 15)
    assert all(sorted(epoch.tolist()) == list(range(15)) for epoch in rows)
    assert rows[0].tolist() != rows[1].tolist()


def test_an_incomplete_batch_is_dropped():
    rows = train.draws(jax.random.key(0), 13, train.Training(steps=4, evaluations=2, batch_size=5))
    assert rows.shape == (2, 2, 5)
    epoch = rows.reshape(2, 10)[0].tolist()
    assert len(set(epoch)) == 10


def test_whole_domain_batches_are_in_order():
    rows = train.draws(jax.random.key(0), 7, train.Training(steps=2, evaluations=1, batch_size=None))
    assert rows.tolist() == [[list(range(7))] * 2]


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_optimizers_equal_the_textbook(optimizer, x64):
    """Two steps on f(w) = w^2 / 2, whose gradient is w, with weight decay, in plain Python."""
    training = train.Training(
        steps=10, optimizer=optimizer, learning_rate=0.1, momentum=0.5, weight_decay=0.01, decay_rate=10.0
    )
    optimiser, w = training.optimiser(), jnp.asarray(2.0)
    state = optimiser.init(w)
    for _ in range(2):
        updates, state = optimiser.update(w, state, w)
        w = w + updates
    assert w == pytest.approx(_textbook(optimizer), rel=1e-12)


def _textbook(optimizer):
    w, v, square = 2.0, 0.0, 0.0
    for step in range(2):
        rate = 0.1 / (1 + 10.0 * step / 10) ** 0.75
        gradient = w + 0.01 * w
        if optimizer == "adam":
            v, square = 0.5 * v + 0.5 * gradient, 0.999 * square + 0.001 * gradient**2
            direction = (v / (1 - 0.5 ** (step + 1))) / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
        else:
            v = 0.5 * v + gradient
            direction = gradient + 0.5 * v if optimizer == "nesterov" else v
        w -= rate * direction
    return w


def test_rate_is_the_papers_annealing(x64):
    """mu_0 / (1 + 10 p)^0.75: at p = 0.5 that is 0.01 / 6^0.75 = 0.00260847..."""
    optimiser = train.Training(steps=2, evaluations=1, momentum=0.0).optimiser()
    state = optimiser.init(jnp.asarray(0.0))
    _, state = optimiser.update(jnp.asarray(1.0), state, jnp.asarray(0.0))
    update, _ = optimiser.update(jnp.asarray(1.0), state, jnp.asarray(0.0))
    assert -update == pytest.approx(0.01 / 6**0.75, rel=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("steps", 0, "Training.steps = 0"),
        ("learning_rate", float("nan"), "Training.learning_rate = nan"),
        ("learning_rate", -1.0, "Training.learning_rate = -1.0"),
        ("momentum", 1.5, "Training.momentum = 1.5"),
        ("optimizer", "sdg", "Training.optimizer = 'sdg'"),
        ("evaluations", 7, "must divide steps"),
        ("bath_size", 7, "did you mean 'batch_size'"),
    ],
)
def test_wrong_settings_are_refused_by_name(field, value, says):
    with pytest.raises(UserError, match=says):
        train.Training(**{field: value})


def test_methods_that_need_nothing_of_their_own_train_alike():
    """A zero-weight penalty is source only, to the last bit that fusion leaves."""
    run = jax.jit(one_run)
    plain = run(jax.random.key(0), SourceOnly(), tiny.TRAINING, data()).logits
    coral = run(jax.random.key(0), Coral(weight=0.0), tiny.TRAINING, data()).logits
    np.testing.assert_allclose(plain, coral, atol=1e-6)
