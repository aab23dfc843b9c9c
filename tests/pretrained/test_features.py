"""The feature store: computed once, the same as the network's own, whole or not there."""

import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

import da_bench as da
from da_bench import models
from da_bench import pretrained as weights
from da_bench.core.config import UserError
from da_bench.core.storage import cache_folder
from da_bench.core.types import Domain, Splits, Task
from da_bench.data import tasks
from da_bench.data.lazy_arrays import Rows
from da_bench.data.transforms import evaluation_input
from da_bench.leaderboard.site.build import gather
from da_bench.methods import SourceOnly
from da_bench.pretrained import features
from da_bench.studies import data as study_data
from da_bench.studies.experiment_files import from_config
from tests.helpers import published

TASK = "office31/amazon-to-webcam"
ROWS = 40  # more than a chunk


def images(seed):
    return np.random.default_rng(seed).integers(0, 256, (ROWS, 9, 9, 3)).astype(np.uint8)


def task(name=TASK, root=None, view=None):
    def domain(stored):
        labels = (np.arange(ROWS) % 3).astype(np.int32)
        index = np.random.default_rng(0).permutation(ROWS)
        parts = (index[:20], index[20:30], index[30:])
        return Splits(*(Domain(Rows(stored, rows), labels[rows]) for rows in parts))

    return Task(name, ("a", "b", "c"), domain(images(0)), domain(images(1)))


@pytest.fixture
def trunk(monkeypatch, tmp_path):
    """A small network's imported weights, an empty cache, and images for them."""
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models.MODELS, "_entries", {**models.MODELS._entries, "small_net": published.SmallNet})
    monkeypatch.setattr(study_data, "load", task)
    path = tmp_path / "some.pth"
    path.write_bytes(published.torch_zip(published.arrays()))
    name = weights.import_file(path, weights.ImportRequest("small_net", preprocessing="imagenet"))
    features.stored_features.cache_clear()
    return features.FeatureExtractor(name, weights.view(name, pixels=8, stored=9, augment="none"))


def test_they_are_what_the_network_makes_of_each_image(trunk):
    before, after = task(), features.extract_features(task(), trunk)
    network = weights.backbone(trunk.weights)
    given = weights.initial_variables(network)
    head = {"kernel": jnp.zeros((4, 1)), "bias": jnp.zeros(1)}
    params, stats = {**given["params"], "head": head}, {"batch_stats": given["batch_stats"]}
    for side in ("source", "target"):
        for ours, theirs in zip(getattr(before, side), getattr(after, side), strict=True):
            seen = evaluation_input(trunk.view, np.asarray(ours.inputs))
            expected, _ = models.forward(network, params, stats, seen)
            np.testing.assert_allclose(np.asarray(theirs.inputs), expected.features, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(theirs.labels, ours.labels)


def test_they_are_computed_once(trunk, monkeypatch):
    one = features.extract_features(task(), trunk)
    features.stored_features.cache_clear()
    monkeypatch.setattr(features, "_extract_in_chunks", None)
    again = features.extract_features(task(), trunk)
    np.testing.assert_array_equal(np.asarray(one.target.test.inputs), np.asarray(again.target.test.inputs))
    assert one.fingerprint == again.fingerprint != task().fingerprint
    other = trunk._replace(view=weights.view(trunk.weights, pixels=7, stored=9, augment="none"))
    with pytest.raises(TypeError):  # another view: they would have to be made
        features.extract_features(task(), other)


def test_what_was_stopped_goes_on(trunk, monkeypatch):
    whole = features.stored_features(features.IdentityKey(images(0)), trunk, "a")
    (folder,) = [path for path in cache_folder("features").iterdir() if path.is_dir()]
    folder.rename(folder.with_name("elsewhere"))
    real, made = features._save, []

    def stopped(path, array):
        if made:
            raise KeyboardInterrupt
        made.append(path.name)
        real(path, array)

    features.stored_features.cache_clear()
    monkeypatch.setattr(features, "_save", stopped)
    with pytest.raises(KeyboardInterrupt):
        features.stored_features(features.IdentityKey(images(0)), trunk, "a")
    monkeypatch.setattr(features, "_save", lambda path, array: (made.append(path.name), real(path, array)))
    np.testing.assert_array_equal(features.stored_features(features.IdentityKey(images(0)), trunk, "a"), whole)
    assert made == ["00000000.npy", "00000032.npy", "features.npy"]  # each chunk once


def test_damage_is_named(trunk):
    features.stored_features(features.IdentityKey(images(0)), trunk, "a")
    (file,) = cache_folder("features").glob("*/features.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    features.stored_features.cache_clear()
    with pytest.raises(UserError, match=r"the features '.*' are damaged .*: delete that folder"):
        features.stored_features(features.IdentityKey(images(0)), trunk, "a")


def test_only_images_have_features(trunk):
    with pytest.raises(UserError, match=r"`features` need images.*moons/35"):
        features.stored_features(features.IdentityKey(np.zeros((3, 4), np.float32)), trunk, "moons/35")
    with pytest.raises(UserError, match="inputs of 'moons/35' are not images on disk"):
        da.Experiment(task="moons/35", method=SourceOnly(), features=trunk.weights)
    with pytest.raises(UserError, match="not augmented by 'crop_flip'"):
        da.Experiment(task=TASK, method=SourceOnly(), features=trunk.weights, view=da.View(pixels=8))


def test_a_run_on_features_is_on_record_as_such(trunk, tmp_path, monkeypatch):
    training = da.Training(steps=2, evaluations=1, batch_size=4)
    one = da.Experiment(task=TASK, method=SourceOnly(), features=trunk.weights, view=trunk.view, training=training)
    assert from_config(json.loads(json.dumps(one.config()))).id == one.id
    (record,) = da.study([one], da.Options(results=tmp_path / "results", progress="none")).records
    assert record.result["status"] == "ok"
    assert (record.config["features"], record.config["model"]["name"]) == (trunk.weights, "bottleneck")
    told = f"{task().fingerprint} {features._describe(trunk)}"
    assert record.environment["data"] == hashlib.sha256(told.encode()).hexdigest()
    monkeypatch.setattr(tasks, "load", task)
    monkeypatch.setattr(tasks, "present", lambda name, root: True)
    gathered = gather([tmp_path / "results"], None, None)  # its numbers follow from its predictions
    assert (gathered.left_out, [one.recomputed for one in gathered.sources]) == ([], [frozenset({record.id})])
