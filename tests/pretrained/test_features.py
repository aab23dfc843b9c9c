"""The feature store: features equal the network's own, are computed once and written atomically."""

import contextlib
import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

import da_bench as da
from da_bench import models, pretrained
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
def extractor(monkeypatch, tmp_path):
    """Imported weights of a tiny network with their view, an empty cache, and a task of images."""
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models.MODELS, "_entries", {**models.MODELS._entries, "small_net": published.SmallNet})
    monkeypatch.setattr(study_data, "load", task)
    path = tmp_path / "some.pth"
    path.write_bytes(published.torch_zip(published.arrays()))
    name = pretrained.import_file(path, pretrained.ImportRequest("small_net", preprocessing="imagenet"))
    features.stored_features.cache_clear()
    return features.FeatureExtractor(name, pretrained.view(name, pixels=8, stored=9, augment="none"))


def test_features_equal_the_networks_own(extractor):
    before, after = task(), features.extract_features(task(), extractor)
    network = pretrained.backbone(extractor.weights)
    variables = pretrained.initial_variables(network)
    head = {"kernel": jnp.zeros((4, 1)), "bias": jnp.zeros(1)}
    params, stats = {**variables["params"], "head": head}, {"batch_stats": variables["batch_stats"]}
    for side in ("source", "target"):
        for images_domain, features_domain in zip(getattr(before, side), getattr(after, side), strict=True):
            inputs = evaluation_input(extractor.view, np.asarray(images_domain.inputs))
            expected, _ = models.forward(network, params, stats, inputs)
            np.testing.assert_allclose(np.asarray(features_domain.inputs), expected.features, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(features_domain.labels, images_domain.labels)


def test_features_are_computed_once(extractor, monkeypatch):
    first = features.extract_features(task(), extractor)
    features.stored_features.cache_clear()
    monkeypatch.setattr(features, "_extract_in_chunks", None)
    again = features.extract_features(task(), extractor)
    np.testing.assert_array_equal(np.asarray(first.target.test.inputs), np.asarray(again.target.test.inputs))
    assert first.fingerprint == again.fingerprint != task().fingerprint
    other = extractor._replace(view=pretrained.view(extractor.weights, pixels=7, stored=9, augment="none"))
    with pytest.raises(TypeError):  # another view needs new features
        features.extract_features(task(), other)


def test_an_interrupted_extraction_resumes(extractor, monkeypatch):
    complete = features.stored_features(features.IdentityKey(images(0)), extractor, "a")
    (folder,) = [path for path in cache_folder("features").iterdir() if path.is_dir()]
    folder.rename(folder.with_name("elsewhere"))
    real, written = features._save, []

    def stopped(path, array):
        if written:
            raise KeyboardInterrupt
        written.append(path.name)
        real(path, array)

    features.stored_features.cache_clear()
    monkeypatch.setattr(features, "_save", stopped)
    with pytest.raises(KeyboardInterrupt):
        features.stored_features(features.IdentityKey(images(0)), extractor, "a")
    monkeypatch.setattr(features, "_save", lambda path, array: (written.append(path.name), real(path, array)))
    np.testing.assert_array_equal(features.stored_features(features.IdentityKey(images(0)), extractor, "a"), complete)
    assert written == ["00000000.npy", "00000032.npy", "features.npy"]  # each chunk once


def test_features_that_another_process_finished_meanwhile_are_not_computed_again(tmp_path, monkeypatch):
    """The other process publishes the array between the first look and the lock."""
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path))
    array = np.ones((2, 3), np.float32)

    @contextlib.contextmanager
    def lock_after_the_other(paths):
        features.write_array(cache_folder("features") / "key", array)
        yield

    monkeypatch.setattr(features, "hold_locks", lock_after_the_other)
    np.testing.assert_array_equal(features.cached_array("key", (2, 3), lambda folder: pytest.fail("again")), array)


def test_damaged_features_are_reported(extractor):
    features.stored_features(features.IdentityKey(images(0)), extractor, "a")
    (file,) = cache_folder("features").glob("*/features.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    features.stored_features.cache_clear()
    with pytest.raises(UserError, match=r"the features '.*' are damaged .*: delete that folder"):
        features.stored_features(features.IdentityKey(images(0)), extractor, "a")


def test_features_need_images(extractor):
    with pytest.raises(UserError, match=r"`features` need images.*moons/35"):
        features.stored_features(features.IdentityKey(np.zeros((3, 4), np.float32)), extractor, "moons/35")
    with pytest.raises(UserError, match="inputs of 'moons/35' are not images on disk"):
        da.Experiment(task="moons/35", method=SourceOnly(), features=extractor.weights)
    with pytest.raises(UserError, match="crop_flip"):
        da.Experiment(task=TASK, method=SourceOnly(), features=extractor.weights, view=da.View(pixels=8))


def test_a_run_on_features_is_recorded_as_such(extractor, tmp_path, monkeypatch):
    training = da.Training(steps=2, evaluations=1, batch_size=4)
    first = da.Experiment(
        task=TASK, method=SourceOnly(), features=extractor.weights, view=extractor.view, training=training
    )
    assert from_config(json.loads(json.dumps(first.config()))).id == first.id
    (record,) = da.study([first], da.Options(results=tmp_path / "results", progress="none")).records
    assert record.result["status"] == "ok"
    assert (record.config["features"], record.config["model"]["name"]) == (extractor.weights, "bottleneck")
    description = f"{task().fingerprint} {features._describe(extractor)}"
    assert record.environment["data"] == hashlib.sha256(description.encode()).hexdigest()
    monkeypatch.setattr(tasks, "load", task)
    monkeypatch.setattr(tasks, "present", lambda name, root: True)
    gathered = gather([tmp_path / "results"], None, None)  # its scores are recomputed from its predictions
    assert (gathered.left_out, [first.recomputed for first in gathered.sources]) == ([], [frozenset({record.id})])
