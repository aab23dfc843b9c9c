"""Experiments on pretrained networks: the protocol of TLlib, and a complete reproduction in miniature."""

import dataclasses
from pathlib import Path
from runpy import run_path

import jax
import numpy as np
import pytest
from da_bench.baselines import all_methods_on_features

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
def own_folders(monkeypatch, tmp_path):
    """Use own folders for weights and caches, and keep the devices of the tests."""
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WEIGHTS", raising=False)


def load_experiments(name):
    return run_path(str(ROOT / "experiments" / f"{name}.py"))


def torch_file(arch):
    """Bytes of a file in torchvision's format with random weights."""
    model, noise = MODELS[arch](classes=1000, bottleneck=None), np.random.default_rng(0)
    shapes = {path: leaf.shape for path, leaf in flatten(variable_shapes(model)).items()}
    return published.torch_zip(
        {array.name: random_array(noise, array, shapes[array.path]) for array in model.published_arrays("torchvision")}
    )


def random_array(noise, array, shape):
    """Array of He's scale in PyTorch's layout: [h, w, in, out] -> [out, in, h, w], [in, out] -> [out, in]."""
    shape = shape[::-1] if len(shape) < 3 else (shape[3], shape[2], *shape[:2])
    if len(shape) == 1:
        return np.full(shape, float(array.name.endswith(("var", "weight"))), np.float32)
    return noise.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)


def test_the_learning_rate_follows_tllib_at_every_step():
    """TLlib uses lr (1 + gamma i)^-0.75 for runs of any length, and a tenth of it for the trunk."""
    runs = {run.method.name: run for run in load_experiments("office31_resnet50")["EXPERIMENTS"] if run.seed == 0}
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
        optimiser = dataclasses.replace(training, momentum=0.0, weight_decay=0.0).make_optimizer()
        state = jax.tree.map(lambda leaf: leaf + 1234 if leaf.dtype == np.int32 else leaf, optimiser.init(zeros))
        update, _ = optimiser.update(jax.tree.map(np.ones_like, zeros), state, zeros)
        expected = -rate / (1 + gamma * 1234) ** 0.75
        np.testing.assert_allclose(update["model"]["head"], expected, rtol=1e-5)
        np.testing.assert_allclose(update["model"]["trunk"], expected / 10, rtol=1e-5)


def test_every_pair_has_tllibs_view_and_protocol():
    runs = load_experiments("office31_resnet50")["EXPERIMENTS"]
    assert len({run.task for run in runs if run.labels_from == "source"}) == 6
    assert all(run.task.endswith("@transductive") == (run.labels_from == "source") for run in runs)
    assert {(run.view.resize, run.view.stored_side, run.view.augment, run.view.area) for run in runs} == {
        ("squash", 256, "crop_flip", (0.08, 1.0))
    }
    assert {run.seed for run in runs} == {0, 1, 2}
    (cdan,) = {run.method for run in runs if run.method.name == "cdan"}
    assert cdan.entropy_conditioning == "normalised"


def test_missing_weights_are_reported_before_images_are_read(tmp_path, capsys):
    assert main(["reproduce"]) == 0  # listing needs no weights
    assert "office31_resnet50: " in capsys.readouterr().out
    options = ["--results", str(tmp_path / "results"), "--data-root", str(tmp_path / "nothing")]
    assert main(["reproduce", "office31_resnet50", *options]) == 2
    assert "'resnet50-torchvision'" in capsys.readouterr().err
    assert main(["run", str(ROOT / "experiments" / "from_pixels.py"), *options]) == 2
    assert "'mobilenet_v2'" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.fixture
def small_resnet(tmp_path, monkeypatch, capsys):
    """A ResNet-18 in torchvision's format, imported by the command line; WEIGHTS names it."""
    (tmp_path / "some.pth").write_bytes(torch_file("resnet18"))
    arguments = ["weights", "import", str(tmp_path / "some.pth"), "--arch", "resnet18", "--preprocessing", "imagenet"]
    assert main(arguments) == 0
    (name,) = imported_names()
    assert capsys.readouterr().out.startswith(name)
    monkeypatch.setenv("WEIGHTS", name)
    return name


@pytest.mark.conformance
def test_all_methods_on_features_use_the_same_training_and_seeds(small_resnet):
    task, training = "office31/amazon-to-webcam@transductive", da.Training(steps=2, evaluations=1)
    runs = all_methods_on_features(task, small_resnet, training, seeds=2)
    assert len({run.id for run in runs}) == len(runs)
    assert {run.method.name for run in runs} == {
        name for name, cls in METHODS.items() if issubclass(cls, ClassicalMethod) or not cls.metadata.needs_batch_norm
    }
    deep = [run for run in runs if not isinstance(run.method, ClassicalMethod)]
    assert {run.training for run in deep} == {training}
    assert all(sum(other.method == run.method for other in deep) % 2 == 0 for run in deep)
    upper_bounds = [(run.task, run.seed) for run in runs if run.labels_from == "target"]
    assert sorted(upper_bounds) == [(name, seed) for name in (task.partition("@")[0], task) for seed in (0, 1)]


@pytest.mark.slow
def test_a_reproduction_in_miniature(small_resnet, tmp_path, monkeypatch):
    """From published weights and a folder of images to a card, with the functions of the experiment."""
    monkeypatch.setenv("PRECISION", "bfloat16")
    images_on_disk.write_domains(tmp_path / "mini", ("amazon", "webcam"), per_class=15, side=40)
    module = load_experiments("office31_resnet50")
    runs = module["experiments"](f"{TASK}@transductive", ("source_only", "dann"), epoch_steps=1, view=SMALL)
    first_seed = [run for run in runs if run.seed == 0]
    paper = dataclasses.replace(module["PAPER"], cells={("dann", TASK): 0.5, ("source_only", TASK): 0.4})
    reproduction = reproduce.Reproduction("mini", "Does it?", paper, first_seed, None, None)
    options = da.Options(results=tmp_path / "results", data_root=tmp_path, progress="none")
    results = da.study(first_seed, options)
    card, written = reproduce.write_reproduction(reproduction, results, options, "im")
    assert [record.result["status"] for record in results.records] == ["ok"] * 3
    assert {record.config["model"]["weights"] for record in results.records} == {small_resnet}
    assert {record.config["training"]["precision"] for record in results.records} == {"bfloat16"}
    assert len(results.records[1].curves["step"]) == 20  # one evaluation an epoch
    assert card.reproduced[1] == 2
    page = (tmp_path / "results" / "mini" / "tables.md").read_text()
    assert "target only, held-out rows (upper bound)" in page
    assert {path.name for path in written} >= {"card.md", "tables.md", "accuracy.png"}
