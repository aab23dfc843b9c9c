"""Two processes that make runs together leave what one does."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import da_bench as da
from da_bench import cli
from da_bench.studies import study as execute

pytestmark = pytest.mark.processes

FILE = """import da_bench as da

SHORT = da.Training(steps=20, evaluations=2, batch_size=16)
METHODS = (da.methods.Dann(widths=(8,)), da.methods.Coral())
EXPERIMENTS = da.over_seeds([da.Experiment(task="moons/35", method=one, training=SHORT) for one in METHODS], 3)
"""
ONE_METHOD = FILE.replace(", da.methods.Coral()", ",")  # runs that do not communicate: of any
DEVICES = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
ALONE = {"XLA_FLAGS": f"{DEVICES}4"}
TOGETHER = {"XLA_FLAGS": f"{DEVICES}2", "JAX_NUM_PROCESSES": "2"}


def begun(folder, file, environment, *options):
    command = [sys.executable, "-m", "da_bench", "run", file, "--quiet", *options]
    inherited = {**os.environ, "JAX_ENABLE_X64": "1", "XDG_CACHE_HOME": str(folder)}
    pipes = {"stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=inherited | environment, **pipes)


def ended(processes):
    for process in processes:
        _, said = process.communicate(timeout=500)
        assert process.returncode == 0, said


def records(folder):
    return {path.name: json.loads((path / "curves.json").read_text()) for path in (folder / "runs").iterdir()}


def states(folder):
    return {path.name: json.loads((path / "result.json").read_text())["state"] for path in (folder / "runs").iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Results of one process with four devices, of two with two each, and of two that work on each run with all."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "sweep.py").write_text(FILE)
    (folder / "one_method.py").write_text(ONE_METHOD)
    alone = begun(folder, "sweep.py", ALONE, "--results", "alone")
    ended([alone, *both(folder, "one_method.py", "--results", "runs")])
    ended(both(folder, "sweep.py", "--results", "data", "--devices-per-run", "4"))
    return folder


def both(folder, file, *options):
    """Two processes that make the same runs together, begun."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    each = [{**TOGETHER, "JAX_COORDINATOR_ADDRESS": address, "JAX_PROCESS_ID": str(i)} for i in range(2)]
    return [begun(folder, file, one, "--distributed", *options) for one in each]


def test_runs_spread_over_two_processes_are_the_same_to_the_bit(made):
    spread, alone = states(made / "runs"), states(made / "alone")
    assert len(spread) == 3
    assert spread.items() <= alone.items()


def test_one_run_over_two_processes_is_the_same_but_for_rounding(made):
    alone, together = records(made / "alone"), records(made / "data")
    assert alone.keys() == together.keys()
    for name, one in alone.items():
        for metric, curve in one["metrics"].items():
            np.testing.assert_allclose(together[name]["metrics"][metric], curve, atol=1e-12)
        assert together[name]["target_accuracy"] == one["target_accuracy"]


@pytest.mark.parametrize("what", [["sweep.py"], ["dann", "--task", "moons/35"]], ids=["file", "method"])
@pytest.mark.parametrize("apart", [["--isolate"], ["--executor", "ray"]], ids=["isolate", "ray"])
def test_runs_apart_are_refused_before_the_processes_meet(what, apart, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax.distributed, "initialize", None)  # would fail if called
    assert cli.main(["run", *what, "--distributed", *apart]) == 2
    assert "--distributed lets several processes make it together" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("apart", [{"isolate": True}, {"executor": "ray"}], ids=["isolate", "ray"])
def test_runs_apart_are_refused_where_processes_have_met(apart, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "is_distributed", lambda: True)
    options = da.Options(results=tmp_path / "results", progress="none", **apart)
    with pytest.raises(da.UserError, match="leave one of the two out"):
        da.run(da.methods.SourceOnly(), "moons/35", 1, options)
    assert not options.results.exists()
