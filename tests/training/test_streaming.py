"""Streamed runs are the resident ones, to the last bit, however many threads read."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench import training as train
from da_bench.core.config import UserError
from da_bench.core.progress import ProgressReporter
from da_bench.core.shutdown import StopRequest
from da_bench.core.types import Domain
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import View
from da_bench.methods import Dann
from da_bench.models import MODELS
from da_bench.training import loop as engine
from da_bench.training import prediction
from da_bench.training import streaming as stream
from da_bench.training.checkpoints import Checkpoints

MODEL = MODELS["small_cnn"](channels=(4, 5), width=6).clone(classes=5)
TRAINING = train.Training(steps=24, evaluations=3, batch_size=16, learning_rate=0.05)
VIEWS = {"none": None, "plain": View(pixels=8, augment="none"), "augmented": View(pixels=8)}
SIDE, SHORT = 10, 4 * 32 * 300  # bytes of four steps


def mapped(path, n, rng):
    np.save(path, rng.integers(0, 256, (n, SIDE, SIDE, 3)).astype(np.uint8))
    return np.load(path, mmap_mode="r")


@pytest.fixture
def data(tmp_path, rng):
    """Two packs, of which the target's is trained on and predicted, as in a transductive task."""
    source, target = mapped(tmp_path / "source.npy", 120, rng), mapped(tmp_path / "target.npy", 90, rng)
    labelled = Domain(Rows(source, rng.permutation(120)[:80]), (np.arange(80) % 5).astype(np.int32))
    whole = Rows(target, np.arange(90))
    return train.gather_data(labelled, whole, [Rows(source, np.arange(100, 120)), whole])


def one(seed=3, weight=1.0, training=TRAINING):
    return train.RunSettings(jax.random.key(seed), Dann(weight=weight, widths=(4,)), training)


def resident(run, data, view):
    held = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)
    return jax.jit(lambda run, held: train.train_run(*run[:3], MODEL, held, view))(run, held)


def streamed(run, programs, data, workers, folder):
    session = engine.Session(Checkpoints(folder, ["one"], "data"), 1e9, ProgressReporter(1, 1), StopRequest(), None)
    return engine.fit(stream.Streamed(run, programs, data, workers), run.training, session)


def assert_same(made, finished):
    assert made.states == engine.digests(jax.tree.map(lambda leaf: leaf[None], train.Carry(finished.state, {})))
    assert made.metrics.keys() == finished.metrics.keys()
    for name, curve in finished.metrics.items():
        np.testing.assert_array_equal(made.metrics[name][0], curve)
    np.testing.assert_array_equal(made.logits[0], finished.logits)
    np.testing.assert_array_equal(made.features[0], finished.features)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_streamed_equals_resident(data, view, monkeypatch, tmp_path):
    monkeypatch.setattr(stream, "CHUNK_BYTES", SHORT)
    monkeypatch.setitem(prediction.CHUNK_OF_BACKEND, "cpu", 50)  # of 110 probes: two chunks and a rest
    expected = resident(one(), data, view)
    programs = stream.build(one(), MODEL, data, view)
    assert programs.steps == 4
    assert set(programs.evaluate) == {50, 10}
    for workers in (0, 1, 2):
        assert_same(streamed(one(), programs, data, workers, tmp_path), expected)


def test_whole_domain_batches_stream_too(data, tmp_path):
    whole = one(training=train.Training(steps=4, evaluations=2, batch_size=None))
    programs = stream.build(whole, MODEL, data, VIEWS["augmented"])
    assert_same(streamed(whole, programs, data, 1, tmp_path), resident(whole, data, VIEWS["augmented"]))


def test_runs_of_a_group_share_one_program(data, monkeypatch, tmp_path):
    traces = []
    step = Dann.step
    monkeypatch.setattr(Dann, "step", lambda self, *rest: traces.append(1) or step(self, *rest))
    programs = stream.build(one(), MODEL, data, None)
    made = [streamed(one(*point), programs, data, 0, tmp_path) for point in ((3, 1.0), (4, 1.0), (3, 0.0))]
    assert len(traces) == 1
    monkeypatch.undo()
    assert_same(made[1], resident(one(4), data, None))
    assert not np.array_equal(made[0].logits, made[2].logits)


def test_no_more_than_two_chunks_are_on_the_device(data, monkeypatch, tmp_path):
    step = 32 * 300
    monkeypatch.setattr(stream, "CHUNK_BYTES", step)
    monkeypatch.setitem(prediction.CHUNK_OF_BACKEND, "cpu", 20)
    programs = stream.build(one(), MODEL, data, None)
    before = {id(array) for array in jax.live_arrays()}
    held, put = [], jax.device_put

    def watched(chunk):
        placed = put(chunk)
        images = [array for array in jax.live_arrays() if array.dtype == np.uint8 and id(array) not in before]
        held.append(sum(array.nbytes for array in images))
        return placed

    monkeypatch.setattr(jax, "device_put", watched)
    streamed(one(), programs, data, 2, tmp_path)
    assert 0 < max(held) <= 2 * step < data.inputs.nbytes / 2


@pytest.mark.parametrize(
    ("steps", "evaluations", "chunk", "expected"),
    [
        (24, 3, 2**26, 8),  # no more than between two evaluations
        (24, 3, 5 * 32 * 300, 4),  # five would fit, and do not divide eight
        (24, 3, 1, 1),  # a step at least
        (21, 3, 6 * 32 * 300, 1),  # a prime number of steps
    ],
)
def test_steps_of_a_chunk(data, monkeypatch, steps, evaluations, chunk, expected):
    monkeypatch.setattr(stream, "CHUNK_BYTES", chunk)
    training = train.Training(steps=steps, evaluations=evaluations, batch_size=16)
    assert stream.build(one(training=training), MODEL, data, None).steps == expected


def test_a_fault_while_reading_ends_the_run(data, tmp_path):
    programs = stream.build(one(), MODEL, data, None)

    class Torn:
        shape, dtype, nbytes = data.inputs.shape, data.inputs.dtype, data.inputs.nbytes

        def __getitem__(self, key):
            raise OSError("the disk is gone")

    for workers in (0, 2):
        with pytest.raises(OSError, match="the disk is gone"):
            streamed(one(), programs, data._replace(inputs=Torn()), workers, tmp_path)


def test_without_grain_one_message_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[stream\]"'):
        stream.require_grain()
