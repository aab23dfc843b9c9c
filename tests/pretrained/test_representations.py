"""Marginalised denoising autoencoders: the closed form against every corruption there is, and what may reach it."""

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
    """Counts of words; moved: added to the rows of both tests."""

    def splits(seed):
        parts = [
            Domain(counts(seed + i, rows), (np.arange(rows) % 2).astype(np.int32)) for i, rows in enumerate((20, 6, 9))
        ]
        return Splits(*parts[:2], parts[2]._replace(inputs=parts[2].inputs + np.float32(moved)))

    return Task(name, ("a", "b"), splits(0), splits(10))


def least_squares_over_every_corruption(rows, corruption):
    """Weights [d + 1, d] of rows [n, d]: each corrupted in all 2^d ways, weighed by the chance of each."""
    masks = np.array(list(itertools.product([0, 1], repeat=rows.shape[1])))
    chances = np.prod(np.where(masks, 1 - corruption, corruption), axis=1)
    corrupted = np.concatenate([rows * mask for mask in masks])
    corrupted = np.concatenate([corrupted, np.ones((len(corrupted), 1))], axis=1)
    scale = np.sqrt(np.repeat(chances, len(rows)))[:, None]
    return np.linalg.lstsq(scale * corrupted, scale * np.tile(rows, (len(masks), 1)), rcond=None)[0]


def test_a_layer_is_the_least_squares_over_every_corruption_of_every_row(monkeypatch):
    monkeypatch.setattr(msda, "RIDGE", 0.0)
    rows = counts(0, 7).astype(np.float64)
    expected = least_squares_over_every_corruption(rows, P)
    np.testing.assert_allclose(msda.denoiser(rows, P), expected, rtol=1e-9, atol=1e-10)
    assert abs(msda.denoiser(rows, 0.5) - expected).max() > 0.01


def test_two_layers_are_one_upon_the_other_beside_the_inputs():
    rows, learned = counts(0, 12), np.arange(8)
    found = msda.stack_layers(rows, learned, Msda(layers=2, corruption=P))
    one = np.tanh(np.c_[rows, np.ones(12)] @ least_squares_over_every_corruption(rows[:8].astype(float), P))
    two = np.tanh(np.c_[one, np.ones(12)] @ least_squares_over_every_corruption(one[:8], P))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.c_[rows, one, two], atol=1e-3)  # but for the ridge


def test_neither_the_order_of_rows_nor_that_of_columns_matters_and_a_word_in_no_row_is_none():
    rows, turn = counts(0, 30).astype(np.float64), np.array([2, 0, 3, 1])
    weights = msda.denoiser(rows, 0.5)
    np.testing.assert_allclose(msda.denoiser(rows[::-1], 0.5), weights, rtol=1e-9, atol=1e-12)
    turned = weights[np.r_[turn, D]][:, turn]
    np.testing.assert_allclose(msda.denoiser(rows[:, turn], 0.5), turned, rtol=1e-9, atol=1e-12)
    rows[:, 1] = 0
    np.testing.assert_array_equal(msda.denoiser(rows, 0.5)[:, 1], 0)
    np.testing.assert_array_equal(msda.denoiser(rows, 0.5)[1], 0)


def test_it_is_learned_from_both_domains_and_from_no_test_row():
    plain = msda.represent(task(), Msda(layers=1))
    moved = msda.represent(task(moved=5.0), Msda(layers=1))
    rows = [np.asarray(one.inputs) for splits in (task().source, task().target) for one in splits]
    weights = msda.denoiser(np.concatenate([rows[i] for i in (0, 1, 3, 4)]).astype(np.float64), 0.5)
    found = [one for splits in (plain.source, plain.target) for one in splits]
    for one, before in zip(found, rows, strict=True):
        expected = np.c_[before, np.tanh(np.c_[before, np.ones(len(before))] @ weights)]
        np.testing.assert_allclose(np.asarray(one.inputs), expected, rtol=1e-4, atol=1e-6)
    for one, other in ((plain.source.train, moved.source.train), (plain.target.validation, moved.target.validation)):
        np.testing.assert_array_equal(np.asarray(one.inputs), np.asarray(other.inputs))
    assert plain.fingerprint != moved.fingerprint != task().fingerprint


def test_it_is_computed_once_and_damage_is_named(monkeypatch):
    one = msda.represent(task(), Msda(layers=2))
    monkeypatch.setattr(msda, "stack_layers", None)
    msda._represent.cache_clear()
    again = msda.represent(task(), Msda(layers=2))
    np.testing.assert_array_equal(np.asarray(one.target.test.inputs), np.asarray(again.target.test.inputs))
    assert one.fingerprint == again.fingerprint == msda.with_representation_origin(task(), Msda(layers=2)).fingerprint
    with pytest.raises(TypeError):  # other settings: it would have to be made
        msda.represent(task(), Msda(layers=2, corruption=0.4))
    (file,) = cache_folder("features").glob("*/features.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    msda._represent.cache_clear()
    with pytest.raises(UserError, match=r"the features '.*' are damaged .*: delete that folder"):
        msda.represent(task(), Msda(layers=2))


def test_runs_on_it_are_on_record_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(study_data, "load", task)
    training = da.Training(steps=2, evaluations=1, batch_size=4)
    methods = [Svm(scaling="none"), Dann(widths=(4,))]
    runs = [da.Experiment(task="moons/35", method=one, model=Mlp(), training=training, msda=Msda()) for one in methods]
    assert all(from_config(json.loads(json.dumps(one.config()))).id == one.id for one in runs)
    plain = [dataclasses.replace(one, msda=None) for one in runs]
    assert not any("msda" in one.config() for one in plain)
    records = da.study([*runs, *plain], da.Options(results=tmp_path, progress="none")).records
    assert [one.config.get("msda") for one in records] == [{"layers": 5, "corruption": 0.5}] * 2 + [None] * 2
    assert [one.environment["data"] == task().fingerprint for one in records] == [False, False, True, True]
    assert study_data.load_labels(runs[0], None).fingerprint == records[0].environment["data"]
    monkeypatch.setattr("da_bench.data.tasks.load", task)
    (data,) = load_tasks([PredictedRun(records[0], {})], None).values()
    assert data.fingerprint == records[0].environment["data"]


def test_what_it_cannot_take_is_refused(monkeypatch):
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
