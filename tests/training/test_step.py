"""Many runs in one program equal the same runs one by one, on any number of devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.types import Batch, Domain
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import View
from da_bench.methods import METHODS, Coral, Dann, Method, SourceOnly, Trainer, load_plugins
from da_bench.training import prediction
from tests.helpers import tiny

load_plugins()
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method)]
SEEDS, WEIGHTS = range(5), (0.0, 0.1, 0.3, 1.0, 3.0)
GRID = [(seed, weight) for seed in SEEDS for weight in WEIGHTS]


def on_device(data):
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)


def data():
    task = tiny.task()
    return on_device(train.gather_data(task.source.train, task.target.train.inputs, [task.target.test.inputs]))


def one_run(key, method, training, data):
    return train.train_run(key, method, training, tiny.MODEL.clone(classes=3), data)


def arguments(seed, weight):
    return jax.random.key(seed), Dann(weight=weight, widths=(4,)), tiny.TRAINING


def logits(seed, weight):
    return jax.jit(one_run)(*arguments(seed, weight), data()).logits


# all runs at once on eight devices are compared with pmap below
@pytest.mark.parametrize(("devices", "at_once"), [(1, None), (1, 2), (8, 1), (8, 2)])
def test_runs_together_equal_runs_one_by_one(devices, at_once, x64):
    runs = train.stack_runs([arguments(*point) for point in GRID], devices)
    mapped = train.over_runs(one_run, jax.devices()[:devices], at_once)
    together = mapped(runs, (data(),)).logits
    assert together.shape[0] % devices == 0
    for i in (0, 7, len(GRID) - 1):
        np.testing.assert_allclose(together[i], logits(*GRID[i]), atol=1e-12)


def test_equals_pmap_of_vmap_on_eight_devices(x64):
    runs = train.stack_runs([arguments(*point) for point in GRID], 8)
    together = train.over_runs(one_run)(runs, (data(),)).logits
    by_device = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), runs)
    expected = jax.pmap(jax.vmap(one_run, in_axes=(0, 0, 0, None)), in_axes=(0, 0, 0, None))(*by_device, data()).logits
    np.testing.assert_allclose(together, expected.reshape(together.shape), atol=1e-12)


def test_a_grid_of_weights_and_seeds_is_traced_once():
    traces = []

    def counted(*run):
        traces.append(1)
        return one_run(*run)

    mapped = train.over_runs(counted)
    for factor in (1.0, 2.0):  # other values, same program
        runs = train.stack_runs([arguments(seed, factor * weight) for seed, weight in GRID], 8)
        mapped(runs, (data(),))
    # lax.map traces its function once; tracing twice would show here
    assert len(traces) == 1


def test_the_weight_is_a_leaf_and_changes_the_result():
    assert not np.allclose(logits(0, 0.0), logits(0, 3.0))


def test_the_learning_rate_is_a_leaf_too():
    slow, fast = (dataclasses.replace(tiny.TRAINING, learning_rate=rate) for rate in (0.01, 0.1))
    runs = train.stack_runs([(jax.random.key(0), SourceOnly(), training) for training in (slow, fast)], 1)
    both = train.over_runs(one_run, jax.devices()[:1])(runs, (data(),)).logits
    assert not np.allclose(both[0], both[1])


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not():
    assert np.array_equal(logits(0, 1.0), logits(0, 1.0))
    assert not np.array_equal(logits(0, 1.0), logits(1, 1.0))


def test_a_run_never_calls_the_host():
    """The program has no callback, infeed or outfeed, so a run is one launch."""
    text = jax.jit(one_run).lower(*arguments(0, 1.0), data()).as_text()
    assert not any(word in text for word in ("callback", "infeed", "outfeed", "send", "recv"))


def test_runs_share_nothing_across_devices():
    runs = train.stack_runs([arguments(*point) for point in GRID], 8)
    text = train.over_runs(one_run).lower(runs, (data(),)).compile().as_text()
    assert not any(word in text for word in ("all-reduce", "all-gather", "all-to-all", "collective-permute"))


@functools.cache
def normed(name, devices):
    """One run of a method in double precision on that many devices: its result and the text of its program."""
    model = tiny.NORMED.clone(classes=3)
    runs = train.stack_runs([(jax.random.key(0), METHODS[name](), tiny.TRAINING)], 1)
    mapped = train.over_runs(
        lambda *run: train.train_run(*run[:3], model, run[3]), jax.devices()[:devices], per_run=devices
    )
    program = mapped.lower(runs, (data(),)).compile()
    return program(runs, (data(),)), program.as_text()


@pytest.mark.parametrize("per_run", [2, pytest.param(8, marks=pytest.mark.conformance)])
@pytest.mark.parametrize("name", tiny.one_of_each_kind(DEEP))
def test_a_run_on_several_devices_equals_the_run_on_one(name, per_run, x64):
    (alone, _), (distributed, text) = normed(name, 1), normed(name, per_run)
    assert "all-reduce" in text  # otherwise its rows are not distributed
    assert alone.state.stats  # of the batch normalisation
    for actual, expected in zip(jax.tree.leaves(distributed), jax.tree.leaves(alone), strict=True):
        if jax.numpy.issubdtype(expected.dtype, jax.numpy.floating):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_stack_runs_pads_with_the_last_run():
    padded = train.stack_runs([{"a": jnp.asarray(i)} for i in range(5)], 4)
    assert padded["a"].tolist() == [0, 1, 2, 3, 4, 4, 4, 4]


def test_the_data_of_a_run_are_stored_once(rng):
    """A transductive task shares rows; every split still has its own rows."""
    array = rng.normal(size=(10, 2)).astype(np.float32)
    all_rows, two_rows = Rows(array, np.arange(10)), Rows(array, np.array([7, 1]))
    data = train.gather_data(Domain(two_rows, np.array([0, 1])), all_rows, [all_rows, two_rows])
    assert len(data.inputs) == 10
    for rows, expected in (
        (data.source_rows, two_rows),
        (data.target_rows, all_rows),
        (data.probes, np.concatenate([array, two_rows[:]])),
    ):
        np.testing.assert_array_equal(data.inputs[rows], expected[:])


def test_augmentation_depends_only_on_step_row_and_domain(rng):
    """Equal (key, step, row) give equal images at any position; another step or domain gives another crop."""
    images, view = np.repeat(rng.integers(0, 256, (1, 12, 12, 3)).astype(np.uint8), 4, axis=0), View(pixels=8)
    stored = Batch(images, np.zeros(4, int), images, np.arange(4))

    def augmented(step, source, target):
        draw = train.Draw(jnp.asarray(step), jnp.asarray(source), jnp.asarray(target))
        batch = train.augment_batch(jax.random.key(0), view, draw, stored)
        return np.asarray(batch.source), np.asarray(batch.target)

    first = augmented(5, [0, 1, 2, 3], [0, 1, 2, 3])
    moved = augmented(5, [3, 2, 1, 0], [9, 2, 8, 0])
    np.testing.assert_allclose(moved[0][::-1], first[0], atol=1e-5)
    np.testing.assert_allclose(moved[1][[3, 1]], first[1][[0, 2]], atol=1e-5)
    assert not np.allclose(first[0], first[1])
    assert not np.allclose(augmented(6, [0, 1, 2, 3], [0, 1, 2, 3])[0], first[0])


def test_uint8_images_train_like_floats(rng):
    """The step divides uint8 by 255, with the same result as dividing before."""
    source, target = (rng.integers(0, 256, (30, 6)).astype(np.uint8) for _ in range(2))
    labels = (np.arange(30) % 3).astype(np.int32)
    results = [
        jax.jit(one_run)(
            *arguments(0, 1.0),
            on_device(train.gather_data(Domain(scale(source), labels), scale(target), [scale(target)])),
        )
        for scale in (lambda values: values, lambda values: values.astype(np.float32) / 255)
    ]
    np.testing.assert_allclose(results[0].logits, results[1].logits, atol=1e-5)


@pytest.mark.parametrize(("rows", "chunk"), [(7, 3), (7, 7), (7, 100)])
def test_a_prediction_does_not_depend_on_the_size_of_a_chunk(rows, chunk, monkeypatch, rng):
    model = tiny.MODEL.clone(classes=3)
    inputs = jnp.asarray(rng.normal(size=(9, 2)), jnp.float32)
    trainer = Trainer(model, tiny.TRAINING.make_optimizer(), 1)
    state = train.init_state(jax.random.key(0), SourceOnly(), trainer, inputs[:2], 1)
    selected = jnp.arange(rows)[::-1]
    expected = model.apply({"params": state.params["model"]}, inputs[selected], train=False)
    monkeypatch.setitem(prediction.CHUNK_OF_BACKEND, "cpu", chunk)
    request = train.PredictRequest(inputs, selected, jnp.ones(rows, bool))
    output = train.predict(trainer, (state.params["model"], state.stats), request)
    np.testing.assert_allclose(output.logits, expected.logits, atol=1e-6)


def test_large_images_are_predicted_in_small_chunks():
    images = np.broadcast_to(np.uint8(0), (2000, 256, 256, 3))
    assert train.evaluation_chunk(images, View()) == 2**22 // (3 * 224**2) == 27
    assert train.evaluation_chunk(np.zeros((5, 28, 28, 1))) == 32


def test_an_epoch_contains_every_row_once():
    training = train.Training(steps=12, evaluations=3, batch_size=5)
    rows = train.draw_rows(jax.random.key(0), 15, training).reshape(-1, 15)
    assert all(sorted(epoch.tolist()) == list(range(15)) for epoch in rows)
    assert rows[0].tolist() != rows[1].tolist()


def test_an_incomplete_batch_is_dropped():
    rows = train.draw_rows(jax.random.key(0), 13, train.Training(steps=4, evaluations=2, batch_size=5))
    assert rows.shape == (4, 5)
    epoch = rows[:2].ravel().tolist()
    assert len(set(epoch)) == 10


def test_batches_of_the_whole_domain_are_in_order():
    rows = train.draw_rows(jax.random.key(0), 7, train.Training(steps=2, evaluations=1, batch_size=None))
    assert rows.tolist() == [list(range(7))] * 2


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam"])
def test_optimizers_equal_their_textbook_formulas(optimizer, x64):
    """Two steps on f(w) = w^2 / 2, whose gradient is w, with weight decay, in plain Python."""
    training = train.Training(
        steps=10, optimizer=optimizer, learning_rate=0.1, momentum=0.5, weight_decay=0.01, decay_rate=10.0
    )
    optimiser, w = training.make_optimizer(), jnp.asarray(2.0)
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


def test_the_learning_rate_is_annealed_as_in_the_paper(x64):
    """mu_0 / (1 + 10 p)^0.75: at p = 0.5 that is 0.01 / 6^0.75 = 0.00260847..."""
    optimiser = train.Training(steps=2, evaluations=1, momentum=0.0).make_optimizer()
    state = optimiser.init(jnp.asarray(0.0))
    _, state = optimiser.update(jnp.asarray(1.0), state, jnp.asarray(0.0))
    update, _ = optimiser.update(jnp.asarray(1.0), state, jnp.asarray(0.0))
    assert -update == pytest.approx(0.01 / 6**0.75, rel=1e-12)


@pytest.mark.parametrize(("gamma", "step", "factor"), [(0.001, 1000, 2**-0.75), (0.0003, 20000, 7**-0.75)])
def test_a_decay_rate_per_step_is_gamma_times_the_steps(gamma, step, factor, x64):
    """TLlib's schedule 0.01 (1 + gamma i)^-0.75 does not depend on the length of the run."""
    for steps in (20000, 50000):
        training = train.Training(steps=steps, momentum=0.0, decay_rate=gamma * steps)
        optimiser = training.make_optimizer()
        state = jax.tree.map(lambda count: count + step, optimiser.init(jnp.asarray(0.0)))
        update, _ = optimiser.update(jnp.asarray(1.0), state, jnp.asarray(0.0))
        assert -update == pytest.approx(0.01 * factor, rel=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "message"),
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
def test_invalid_settings_are_named(field, value, message):
    with pytest.raises(UserError, match=message):
        train.Training(**{field: value})


def test_domain_specific_statistics_work_in_a_whole_run():
    training = dataclasses.replace(tiny.TRAINING, batch_norm="domain_specific")
    arguments = jax.random.key(0), SourceOnly(), training, tiny.NORMED.clone(classes=3), data()
    result = jax.jit(train.train_run, static_argnums=3)(*arguments)
    assert result.state.stats.keys() == {"source", "target"}
    assert np.isfinite(result.logits).all()


def test_a_penalty_of_weight_zero_trains_like_source_only():
    """The results agree up to differences in rounding, which depends on how XLA fuses operations."""
    run = jax.jit(one_run)
    plain = run(jax.random.key(0), SourceOnly(), tiny.TRAINING, data()).logits
    coral = run(jax.random.key(0), Coral(weight=0.0), tiny.TRAINING, data()).logits
    np.testing.assert_allclose(plain, coral, atol=1e-6)


def arguments_with(precision):
    training = dataclasses.replace(tiny.TRAINING, precision=precision)
    return jax.random.key(0), Dann(widths=(4,)), training


def test_half_precision_affects_only_the_network():
    lowered = {p: jax.jit(one_run).lower(*arguments_with(p), data()).as_text() for p in ("float32", "bfloat16")}
    assert "bf16" not in lowered["float32"]
    assert "bf16" in lowered["bfloat16"]
    products = [line for line in lowered["float32"].splitlines() if "dot_general" in line]
    assert products
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
    # the discriminator belongs to the method and keeps full precision
    assert any("HIGHEST" in line for line in lowered["bfloat16"].splitlines() if "dot_general" in line)


def test_half_precision_keeps_parameters_and_outputs_in_float32():
    full, half = (jax.jit(one_run)(*arguments_with(p), data()) for p in ("float32", "bfloat16"))
    assert {leaf.dtype for leaf in jax.tree.leaves(half.state.params)} == {jnp.float32.dtype}
    assert half.logits.dtype == half.features.dtype == jnp.float32
    assert not np.array_equal(full.logits, half.logits)
    np.testing.assert_allclose(half.logits, full.logits, atol=0.1)
