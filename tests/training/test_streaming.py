"""Streamed runs equal runs in memory bit for bit, with any number of reading threads."""

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
from da_bench.training import loop, prediction, streaming
from da_bench.training.checkpoints import Checkpoints

MODEL = MODELS["small_cnn"](channels=(4, 5), width=6).clone(classes=5)
TRAINING = train.Training(steps=24, evaluations=3, batch_size=16, learning_rate=0.05)
VIEWS = {"none": None, "plain": View(pixels=8, augment="none"), "augmented": View(pixels=8)}
SIDE, SHORT = 10, 4 * 32 * 300  # bytes of four steps


def memory_mapped(path, n, rng):
    np.save(path, rng.integers(0, 256, (n, SIDE, SIDE, 3)).astype(np.uint8))
    return np.load(path, mmap_mode="r")


@pytest.fixture
def data(tmp_path, rng):
    """Two memory-mapped files; the target's rows are trained on and predicted, as in a transductive task."""
    source, target = memory_mapped(tmp_path / "source.npy", 120, rng), memory_mapped(tmp_path / "target.npy", 90, rng)
    labelled = Domain(Rows(source, rng.permutation(120)[:80]), (np.arange(80) % 5).astype(np.int32))
    all_target = Rows(target, np.arange(90))
    return train.gather_data(labelled, all_target, [Rows(source, np.arange(100, 120)), all_target])


def run_settings(seed=3, weight=1.0, training=TRAINING):
    return train.RunSettings(jax.random.key(seed), Dann(weight=weight, widths=(4,)), training)


def run_in_memory(run, data, view):
    arrays = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)
    return jax.jit(lambda run, arrays: train.train_run(*run[:3], MODEL, arrays, view))(run, arrays)


def run_streamed(run, programs, data, workers, folder):
    session = loop.Session(Checkpoints(folder, ["one"], "data"), 1e9, ProgressReporter(1, 1), StopRequest(), None)
    return loop.fit(streaming.Streamed(run, programs, data, workers), run.training, session)


def assert_equal(streamed, in_memory):
    assert streamed.states == loop.digests(jax.tree.map(lambda leaf: leaf[None], train.Carry(in_memory.state, {})))
    assert streamed.metrics.keys() == in_memory.metrics.keys()
    for name, curve in in_memory.metrics.items():
        np.testing.assert_array_equal(streamed.metrics[name][0], curve)
    np.testing.assert_array_equal(streamed.logits[0], in_memory.logits)
    np.testing.assert_array_equal(streamed.features[0], in_memory.features)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_a_streamed_run_equals_one_in_memory(data, view, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "CHUNK_BYTES", SHORT)
    monkeypatch.setitem(prediction.CHUNK_OF_BACKEND, "cpu", 50)  # 110 probes are two chunks and a remainder
    expected = run_in_memory(run_settings(), data, view)
    programs = streaming.build(run_settings(), MODEL, data, view)
    assert programs.steps == 4
    assert set(programs.evaluate) == {50, 10}
    for workers in (0, 1, 2):
        assert_equal(run_streamed(run_settings(), programs, data, workers, tmp_path), expected)


@pytest.mark.conformance
def test_batches_of_the_whole_domain_can_be_streamed(data, tmp_path):
    run = run_settings(training=train.Training(steps=4, evaluations=2, batch_size=None))
    programs = streaming.build(run, MODEL, data, VIEWS["augmented"])
    assert_equal(run_streamed(run, programs, data, 1, tmp_path), run_in_memory(run, data, VIEWS["augmented"]))


def test_runs_of_a_group_share_one_program(data, monkeypatch, tmp_path):
    traces = []
    step = Dann.step
    monkeypatch.setattr(Dann, "step", lambda self, *arguments: traces.append(1) or step(self, *arguments))
    programs = streaming.build(run_settings(), MODEL, data, None)
    results = [
        run_streamed(run_settings(*point), programs, data, 0, tmp_path) for point in ((3, 1.0), (4, 1.0), (3, 0.0))
    ]
    assert len(traces) == 1
    monkeypatch.undo()
    assert_equal(results[1], run_in_memory(run_settings(4), data, None))
    assert not np.array_equal(results[0].logits, results[2].logits)


def test_at_most_two_chunks_are_on_the_device(data, monkeypatch, tmp_path):
    step = 32 * 300
    monkeypatch.setattr(streaming, "CHUNK_BYTES", step)
    monkeypatch.setitem(prediction.CHUNK_OF_BACKEND, "cpu", 20)
    programs = streaming.build(run_settings(), MODEL, data, None)
    before = {id(array) for array in jax.live_arrays()}
    bytes_on_device, device_put = [], jax.device_put

    def record_bytes(chunk):
        array = device_put(chunk)
        images = [leaf for leaf in jax.live_arrays() if leaf.dtype == np.uint8 and id(leaf) not in before]
        bytes_on_device.append(sum(image.nbytes for image in images))
        return array

    monkeypatch.setattr(jax, "device_put", record_bytes)
    run_streamed(run_settings(), programs, data, 2, tmp_path)
    assert 0 < max(bytes_on_device) <= 2 * step < data.inputs.nbytes / 2


@pytest.mark.parametrize(
    ("steps", "evaluations", "chunk", "expected"),
    [
        (24, 3, 2**26, 8),  # no more than between two evaluations
        (24, 3, 5 * 32 * 300, 4),  # five would fit, but do not divide eight
        (24, 3, 1, 1),  # at least one step
        (21, 3, 6 * 32 * 300, 1),  # a prime number of steps
    ],
)
def test_steps_of_a_chunk(data, monkeypatch, steps, evaluations, chunk, expected):
    monkeypatch.setattr(streaming, "CHUNK_BYTES", chunk)
    training = train.Training(steps=steps, evaluations=evaluations, batch_size=16)
    assert streaming.build(run_settings(training=training), MODEL, data, None).steps == expected


def test_an_error_while_reading_ends_the_run(data, tmp_path):
    programs = streaming.build(run_settings(), MODEL, data, None)

    class Torn:
        shape, dtype, nbytes = data.inputs.shape, data.inputs.dtype, data.inputs.nbytes

        def __getitem__(self, key):
            raise OSError("the disk is gone")

    for workers in (0, 2):
        with pytest.raises(OSError, match="the disk is gone"):
            run_streamed(run_settings(), programs, data._replace(inputs=Torn()), workers, tmp_path)


def test_without_grain_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[stream\]"'):
        streaming.require_grain()
