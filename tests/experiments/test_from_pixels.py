"""Experiments that train pretrained networks from images: a protocol by hand, and the whole path in miniature."""

import dataclasses
from pathlib import Path
from runpy import run_path

import jax
import numpy as np
import pytest
from da_bench.baselines import every_method

import da_bench as da
from da_bench.cli import main
from da_bench.core.trees import flatten
from da_bench.methods import METHODS, ClassicalMethod
from da_bench.models import MODELS
from da_bench.pretrained import imported_names
from da_bench.pretrained.convert import variable_shapes
from da_bench.reporting import reproduction as reproduce
from tests.helpers import images_on_disk, published

ROOT = Path(__file__).parents[2]
TASK = "mini/amazon-to-webcam"
SMALL = da.View(pixels=32)


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """Own folders for weights and packs, and the devices that the tests have."""
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WEIGHTS", raising=False)


def experiment(name):
    return run_path(str(ROOT / "experiments" / f"{name}.py"))


def torch_file(arch):
    """The bytes of a file as torchvision publishes them, of a network that nobody has trained."""
    model, noise = MODELS[arch](classes=1000, bottleneck=None), np.random.default_rng(0)
    shapes = {path: leaf.shape for path, leaf in flatten(variable_shapes(model)).items()}
    return published.torch_zip(
        {one.name: drawn(noise, one, shapes[one.path]) for one in model.published("torchvision")}
    )


def drawn(noise, one, shape):
    """[h, w, in, out] -> [out, in, h, w], [in, out] -> [out, in]; of He's size."""
    shape = shape[::-1] if len(shape) < 3 else (shape[3], shape[2], *shape[:2])
    if len(shape) == 1:
        return np.full(shape, float(one.name.endswith(("var", "weight"))), np.float32)
    return noise.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)


def test_the_rates_are_the_suites_step_by_step():
    """TLlib: lr (1 + gamma i)^-0.75 whatever the length of the run, the new layers' ten times the trunk's."""
    runs = {one.method.name: one for one in experiment("office31_resnet50")["EXPERIMENTS"] if one.seed == 0}
    for name, (rate, gamma, steps) in {
        "source_only": (0.001, 3e-4, 2500),
        "dann": (0.01, 0.001, 20_000),
        "mmd": (0.003, 3e-4, 10_000),
        "mdd": (0.004, 2e-4, 20_000),
        "mcc": (0.005, 0.001, 10_000),
    }.items():
        training = runs[name].training
        assert training.steps == steps
        zeros = {"model": {"trunk": np.zeros(1), "head": np.zeros(1)}}
        optimiser = dataclasses.replace(training, momentum=0.0, weight_decay=0.0).optimiser()
        state = jax.tree.map(lambda leaf: leaf + 1234 if leaf.dtype == np.int32 else leaf, optimiser.init(zeros))
        update, _ = optimiser.update(jax.tree.map(np.ones_like, zeros), state, zeros)
        expected = -rate / (1 + gamma * 1234) ** 0.75
        np.testing.assert_allclose(update["model"]["head"], expected, rtol=1e-5)
        np.testing.assert_allclose(update["model"]["trunk"], expected / 10, rtol=1e-5)


def test_every_pair_is_seen_as_the_suite_sees_it_and_scored_whole():
    runs = experiment("office31_resnet50")["EXPERIMENTS"]
    assert len({one.task for one in runs if one.labels_from == "source"}) == 6
    assert all(one.task.endswith("@transductive") == (one.labels_from == "source") for one in runs)
    assert {(one.view.resize, one.view.pack_side, one.view.augment, one.view.area) for one in runs} == {
        ("squash", 256, "crop_flip", (0.08, 1.0))
    }
    assert {one.seed for one in runs} == {0, 1, 2}
    (cdan,) = {one.method for one in runs if one.method.name == "cdan"}
    assert cdan.entropy_conditioning == "normalised"


def test_missing_weights_are_one_message_before_any_image_is_looked_for(tmp_path, capsys):
    assert main(["reproduce"]) == 0  # the list needs none
    assert "office31_resnet50: " in capsys.readouterr().out
    given = ["--results", str(tmp_path / "results"), "--data-root", str(tmp_path / "nothing")]
    assert main(["reproduce", "office31_resnet50", *given]) == 2
    assert "no weights 'resnet50-torchvision' in" in capsys.readouterr().err
    assert main(["run", str(ROOT / "experiments" / "from_pixels.py"), *given]) == 2
    assert "no weights 'mobilenet_v2' in" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.fixture
def small_resnet(tmp_path, monkeypatch, capsys):
    """A ResNet-18 in torchvision's naming, imported by the command and named by WEIGHTS."""
    (tmp_path / "some.pth").write_bytes(torch_file("resnet18"))
    asked = ["weights", "import", str(tmp_path / "some.pth"), "--arch", "resnet18", "--preprocessing", "imagenet"]
    assert main(asked) == 0
    (name,) = imported_names()
    assert capsys.readouterr().out.startswith(name)
    monkeypatch.setenv("WEIGHTS", name)
    return name


def test_on_features_all_methods_run_with_the_same_head_and_seeds(small_resnet):
    task, training = "office31/amazon-to-webcam@transductive", da.Training(steps=2, evaluations=1)
    runs = every_method(task, small_resnet, training, seeds=2)
    assert len({one.id for one in runs}) == len(runs)
    made = {one.method.name for one in runs}
    assert made == {
        name for name, cls in METHODS.items() if issubclass(cls, ClassicalMethod) or not cls.metadata.needs_batch_norm
    }
    deep = [one for one in runs if not isinstance(one.method, ClassicalMethod)]
    assert {one.training for one in deep} == {training}
    assert all(sum(other.method == one.method for other in deep) % 2 == 0 for one in deep)
    bounds = [(one.task, one.seed) for one in runs if one.labels_from == "target"]
    assert sorted(bounds) == [(name, seed) for name in (task.partition("@")[0], task) for seed in (0, 1)]


@pytest.mark.slow
def test_the_whole_path_in_miniature(small_resnet, tmp_path, monkeypatch):
    """From a published file and a folder of images to a card, by the experiment's own functions."""
    monkeypatch.setenv("PRECISION", "bfloat16")
    images_on_disk.folder(tmp_path / "mini", ("amazon", "webcam"), per_class=15, side=40)
    study = experiment("office31_resnet50")
    runs = study["pair"](f"{TASK}@transductive", ("source_only", "dann"), epoch=1, view=SMALL)
    first = [one for one in runs if one.seed == 0]
    paper = dataclasses.replace(study["PAPER"], cells={("dann", TASK): 0.5, ("source_only", TASK): 0.4})
    one = reproduce.Reproduction("mini", "Does it?", paper, first, None, None)
    options = da.Options(results=tmp_path / "results", data_root=tmp_path, progress="none")
    results = da.study(first, options)
    card, written = reproduce.write_reproduction(one, results, options, "im")
    assert [record.result["status"] for record in results.records] == ["ok"] * 3
    assert {record.config["model"]["weights"] for record in results.records} == {small_resnet}
    assert {record.config["training"]["precision"] for record in results.records} == {"bfloat16"}
    assert len(results.records[1].curves["step"]) == 20  # an epoch a look
    assert card.reproduced[1] == 2
    page = (tmp_path / "results" / "mini" / "tables.md").read_text()
    assert "target only, held-out rows (upper bound)" in page
    assert {path.name for path in written} >= {"card.md", "tables.md", "accuracy.png"}
