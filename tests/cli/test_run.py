"""`da-bench run`: a file, a record's config, one method."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from da_bench.cli.options import StudyOptions
from da_bench.cli.parse import Words, count, read
from da_bench.cli.run import RunMethod, method_command
from da_bench.core.config import Positive, UserError, config_dataclass
from da_bench.methods import METHODS
from da_bench.testing.checks.interface import RUN_OPTIONS


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_on_the_command_line(name):
    asked = read(method_command(METHODS[name]), Words("da-bench run", ["--task", "moons/35"]))
    assert asked.method == METHODS[name]()


def test_a_field_that_is_called_like_an_option_is_refused():
    @config_dataclass
    class Crowded:
        shard: Positive = 1.0

    with pytest.raises(UserError, match=r"Crowded.shard: `da-bench run` has an option of this name; rename the field"):
        method_command(Crowded)


@pytest.mark.parametrize(("number", "text"), [(0, "0 records"), (1, "1 record"), (2, "2 records")])
def test_numbers_agree_with_their_nouns(number, text):
    assert count(number, "record") == text


def test_the_checks_know_all_options():
    parts = (RunMethod, StudyOptions)
    assert {field.name for part in parts for field in dataclasses.fields(part)} <= RUN_OPTIONS


def test_an_option_of_a_method_is_none_of_a_file(command, tmp_path):
    (tmp_path / "huber_mean.py").write_text("x = 1")
    code, _, err = command("run", "huber_mean.py", "--weight", "0.3")
    assert code == 2
    assert "unknown option '--weight'" in err
    assert "EXPERIMENTS" in err


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_file_that_is_named_like_a_method(name, command, tmp_path, monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # the tests' own devices stay
    (tmp_path / "huber_mean.py").write_text("x = 1")
    code, _, err = command(name, "huber_mean")
    assert code == 2
    assert "unknown method 'huber_mean'" in err
    assert f"`da-bench {name} huber_mean.py`" in err


def test_a_file_without_experiments(command, tmp_path):
    (tmp_path / "empty.py").write_text("x = 1")
    code, _, err = command("run", "empty.py")
    assert code == 2
    assert "empty.py must define EXPERIMENTS" in err


def test_a_missing_data_root_says_which_files_where_and_how(command, monkeypatch, tmp_path):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    code, _, err = command("run", "dann", "--task", "mnist-to-usps")
    assert code == 2
    for word in ("train-images-idx3-ubyte.gz", "mnist/", "DA_BENCH_DATA", "--data-root", "https://"):
        assert word in err
    (tmp_path / "data").mkdir()
    code, _, err = command("run", "dann", "--task", "mnist-to-usps", "--data-root", "data")
    assert code == 2
    assert "missing in 'data/mnist': train-images-idx3-ubyte.gz" in err
    assert not (tmp_path / "results").exists()


def test_a_corrupt_file_is_named(command, tmp_path):
    for folder, names in (
        ("mnist", ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")),
        ("usps", ("usps.bz2", "usps.t.bz2")),
    ):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in names:
            path = name if folder == "usps" else f"{name}-ubyte.gz"
            (tmp_path / "data" / folder / path).write_bytes(b"\x1f\x8bbroken")
    code, _, err = command("run", "dann", "--task", "mnist-to-usps", "--data-root", "data")
    assert code == 2
    assert "train-images-idx3-ubyte.gz" in err
    assert not (tmp_path / "results").exists()


def test_a_file_of_experiments_leaves_records_tables_and_plots(study):
    assert len(list((study / "results" / "runs").iterdir())) == 7
    written = {path.name for path in (study / "results" / "small").iterdir()}
    assert {"tables.md", "tables.tex", "tables.csv", "tables.json", "accuracy.png", "curves.svg"} <= written


def test_run_again_makes_nothing_and_prints_the_same(study, command):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in (study / "results" / "runs").rglob("*")}

    before = stamps()
    arguments = ("run", str(study / "small.py"), "--results", str(study / "results"))
    code, first, _ = command(*arguments)
    _, second, _ = command(*arguments)
    assert code == 0
    assert first == second
    assert all(word in first for word in ("source_only", "dann", "upper bound", "7 records in", "tables.md"))
    assert stamps() == before


def test_a_run_from_its_config_is_the_same_to_the_bit(study, command, tmp_path):
    for folder in (study / "results" / "runs").iterdir():
        config = json.loads((folder / "config.json").read_text())
        if config["method"]["name"] == "dann":
            break
    code, _, _ = command("run", str(folder / "config.json"), "--results", "again")
    assert code == 0
    first, second = (np.load(path / "predictions.npz") for path in (folder, tmp_path / "again" / "runs" / folder.name))
    assert all(np.array_equal(first[name], second[name]) for name in ("source_test", "target_test"))


def test_one_method_from_the_command_line(command, tmp_path):
    options = ("--training.steps", "10", "--training.evaluations", "1", "--weight", "0.25", "--layer", "features")
    code, out, _ = command("run", "coral", "--task", "moons/35", "--seeds", "2", *options)
    assert code == 0
    assert "2 records in results/runs" in out
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("results/runs/*/config.json")]
    assert {config["seed"] for config in configs} == {0, 1}
    method = {"name": "coral", "weight": 0.25, "layer": "features", "means": False}
    assert all(config["method"] == method for config in configs)
    assert all(config["training"]["steps"] == 10 for config in configs)
