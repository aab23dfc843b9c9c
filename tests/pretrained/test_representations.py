"""mSDA: its closed form compared with an enumeration of all corruptions, and the rows from which it is learned."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import da_bench as da
from da_bench.classical import Svm
from da_bench.core.config import UserError
from da_bench.core.storage import cache_folder
from da_bench.core.types import Domain, Splits, Task
from da_bench.leaderboard.submission.check import load_tasks
from da_bench.leaderboard.submission.reader import PredictedRun
from da_bench.methods import Dann
from da_bench.models import Mlp
from da_bench.pretrained import representations as msda
from da_bench.pretrained.representations import Msda
from da_bench.studies import data as study_data
from da_bench.studies.experiment_files import from_config

D = 4
P = 0.3


@pytest.fixture(autouse=True)
def empty_store(monkeypatch, tmp_path):
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    msda._represent.cache_clear()


def counts(seed, rows):
    return np.random.default_rng(seed).poisson(1.0, (rows, D)).astype(np.float32)


def task(name="moons/35", root=None, view=None, moved=0.0):
    """A task of word counts; `moved` is added to the test rows of both domains."""

    def splits(seed):
        parts = [
            Domain(counts(seed + i, rows), (np.arange(rows) % 2).astype(np.int32)) for i, rows in enumerate((20, 6, 9))
        ]
        return Splits(*parts[:2], parts[2]._replace(inputs=parts[2].inputs + np.float32(moved)))

    return Task(name, ("a", "b"), splits(0), splits(10))


def least_squares_over_every_corruption(rows, corruption):
    """Weights [d + 1, d] of rows [n, d], from all 2^d corruptions of every row, weighted by their probabilities."""
    masks = np.array(list(itertools.product([0, 1], repeat=rows.shape[1])))
    probabilities = np.prod(np.where(masks, 1 - corruption, corruption), axis=1)
    corrupted = np.concatenate([rows * mask for mask in masks])
    corrupted = np.concatenate([corrupted, np.ones((len(corrupted), 1))], axis=1)
    scale = np.sqrt(np.repeat(probabilities, len(rows)))[:, None]
    return np.linalg.lstsq(scale * corrupted, scale * np.tile(rows, (len(masks), 1)), rcond=None)[0]


def test_a_layer_is_the_least_squares_solution_over_all_corruptions(monkeypatch):
    monkeypatch.setattr(msda, "RIDGE", 0.0)
    rows = counts(0, 7).astype(np.float64)
    expected = least_squares_over_every_corruption(rows, P)
    np.testing.assert_allclose(msda.denoiser(rows, P), expected, rtol=1e-9, atol=1e-10)
    assert abs(msda.denoiser(rows, 0.5) - expected).max() > 0.01


def test_two_layers_are_stacked_beside_the_inputs():
    rows, training_rows = counts(0, 12), np.arange(8)
    actual = msda.stack_layers(rows, training_rows, Msda(layers=2, corruption=P))
    first_layer = np.tanh(np.c_[rows, np.ones(12)] @ least_squares_over_every_corruption(rows[:8].astype(float), P))
    second_layer = np.tanh(np.c_[first_layer, np.ones(12)] @ least_squares_over_every_corruption(first_layer[:8], P))
    assert actual.dtype == np.float32
    expected = np.c_[rows, first_layer, second_layer]
    np.testing.assert_allclose(actual, expected, atol=1e-3)  # the tolerance allows for the ridge


def test_a_layer_ignores_the_order_of_rows_and_columns_and_absent_words():
    rows, order = counts(0, 30).astype(np.float64), np.array([2, 0, 3, 1])
    weights = msda.denoiser(rows, 0.5)
    np.testing.assert_allclose(msda.denoiser(rows[::-1], 0.5), weights, rtol=1e-9, atol=1e-12)
    expected_order = weights[np.r_[order, D]][:, order]
    np.testing.assert_allclose(msda.denoiser(rows[:, order], 0.5), expected_order, rtol=1e-9, atol=1e-12)
    rows[:, 1] = 0
    np.testing.assert_array_equal(msda.denoiser(rows, 0.5)[:, 1], 0)
    np.testing.assert_array_equal(msda.denoiser(rows, 0.5)[1], 0)


def test_layers_are_learned_from_both_domains_without_test_rows():
    plain = msda.represent(task(), Msda(layers=1))
    moved = msda.represent(task(moved=5.0), Msda(layers=1))
    rows = [np.asarray(domain.inputs) for splits in (task().source, task().target) for domain in splits]
    weights = msda.denoiser(np.concatenate([rows[i] for i in (0, 1, 3, 4)]).astype(np.float64), 0.5)
    actual = [domain for splits in (plain.source, plain.target) for domain in splits]
    for domain, before in zip(actual, rows, strict=True):
        expected = np.c_[before, np.tanh(np.c_[before, np.ones(len(before))] @ weights)]
        np.testing.assert_allclose(np.asarray(domain.inputs), expected, rtol=1e-4, atol=1e-6)
    for domain, other in (
        (plain.source.train, moved.source.train),
        (plain.target.validation, moved.target.validation),
    ):
        np.testing.assert_array_equal(np.asarray(domain.inputs), np.asarray(other.inputs))
    assert plain.fingerprint != moved.fingerprint != task().fingerprint


def test_a_representation_is_computed_once_and_damage_is_reported(monkeypatch):
    first = msda.represent(task(), Msda(layers=2))
    monkeypatch.setattr(msda, "stack_layers", None)
    msda._represent.cache_clear()
    again = msda.represent(task(), Msda(layers=2))
    np.testing.assert_array_equal(np.asarray(first.target.test.inputs), np.asarray(again.target.test.inputs))
    assert first.fingerprint == again.fingerprint == msda.with_representation_origin(task(), Msda(layers=2)).fingerprint
    with pytest.raises(TypeError):  # other settings need a new representation
        msda.represent(task(), Msda(layers=2, corruption=0.4))
    (file,) = cache_folder("features").glob("*/features.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    msda._represent.cache_clear()
    with pytest.raises(UserError, match=r"the features '.*' are damaged .*: delete that folder"):
        msda.represent(task(), Msda(layers=2))


@pytest.mark.conformance
def test_runs_on_a_representation_are_recorded_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(study_data, "load", task)
    training = da.Training(steps=2, evaluations=1, batch_size=4)
    methods = [Svm(scaling="none"), Dann(widths=(4,))]
    runs = [
        da.Experiment(task="moons/35", method=method, model=Mlp(), training=training, msda=Msda()) for method in methods
    ]
    assert all(from_config(json.loads(json.dumps(run.config()))).id == run.id for run in runs)
    plain = [dataclasses.replace(run, msda=None) for run in runs]
    assert not any("msda" in run.config() for run in plain)
    records = da.study([*runs, *plain], da.Options(results=tmp_path, progress="none")).records
    assert [record.config.get("msda") for record in records] == [{"layers": 5, "corruption": 0.5}] * 2 + [None] * 2
    assert [record.environment["data"] == task().fingerprint for record in records] == [
        False,
        False,
        True,
        True,
    ]
    assert study_data.load_labels(runs[0], None).fingerprint == records[0].environment["data"]
    monkeypatch.setattr("da_bench.data.tasks.load", task)
    (data,) = load_tasks([PredictedRun(records[0], {})], None).values()
    assert data.fingerprint == records[0].environment["data"]


def test_invalid_settings_and_inputs_are_refused(monkeypatch):
    with pytest.raises(UserError, match=r"Msda.corruption = 1"):
        Msda(corruption=1.0)
    with pytest.raises(UserError, match=r"Msda.corruption = 0"):
        Msda(corruption=0.0)
    with pytest.raises(UserError, match=r"Msda.layers = 0"):
        Msda(layers=0)
    with pytest.raises(UserError, match="'office31/amazon-to-webcam' are images on disk; give features with it"):
        da.Experiment(task="office31/amazon-to-webcam", method=Svm(), msda=Msda())
    monkeypatch.setattr(msda, "MAX_FEATURES", 3)
    with pytest.raises(UserError, match=r"at most 3 numbers.*'moons/35'.*\(4,\)"):
        msda.represent(task(), Msda())
