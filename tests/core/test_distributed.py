"""Two processes that compute runs together get the results of one process."""

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
from da_bench.studies import study

pytestmark = pytest.mark.processes

FILE = """import da_bench as da

SHORT = da.Training(steps=20, evaluations=2, batch_size=16)
METHODS = (da.methods.Dann(widths=(8,)), da.methods.Coral())
EXPERIMENTS = da.over_seeds([da.Experiment(task="moons/35", method=method, training=SHORT) for method in METHODS], 3)
"""
ONE_METHOD = FILE.replace(", da.methods.Coral()", ",")  # its runs do not communicate
DEVICES = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
ALONE = {"XLA_FLAGS": f"{DEVICES}4"}
TOGETHER = {"XLA_FLAGS": f"{DEVICES}2", "JAX_NUM_PROCESSES": "2"}


def start(folder, file, environment, *options):
    command = [sys.executable, "-m", "da_bench", "run", file, "--quiet", *options]
    inherited = {**os.environ, "JAX_ENABLE_X64": "1", "XDG_CACHE_HOME": str(folder)}
    pipes = {"stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=inherited | environment, **pipes)


def wait_for(processes):
    for process in processes:
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors


def records(folder):
    return {path.name: json.loads((path / "curves.json").read_text()) for path in (folder / "runs").iterdir()}


def states(folder):
    return {path.name: json.loads((path / "result.json").read_text())["state"] for path in (folder / "runs").iterdir()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of one process with four devices, of two with two each, and of two that share every run."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "sweep.py").write_text(FILE)
    (folder / "one_method.py").write_text(ONE_METHOD)
    alone = start(folder, "sweep.py", ALONE, "--results", "alone")
    wait_for([alone, *start_two(folder, "one_method.py", "--results", "runs")])
    wait_for(start_two(folder, "sweep.py", "--results", "data", "--devices-per-run", "4"))
    return folder


def start_two(folder, file, *options):
    """Start two processes that compute the same runs together."""
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        address = f"localhost:{unused.getsockname()[1]}"
    environments = [{**TOGETHER, "JAX_COORDINATOR_ADDRESS": address, "JAX_PROCESS_ID": str(i)} for i in range(2)]
    return [start(folder, file, environment, "--distributed", *options) for environment in environments]


def test_runs_distributed_over_two_processes_are_equal_bit_for_bit(results):
    distributed, alone = states(results / "runs"), states(results / "alone")
    assert len(distributed) == 3
    assert distributed.items() <= alone.items()


def test_a_run_shared_by_two_processes_is_equal_up_to_rounding(results):
    alone, together = records(results / "alone"), records(results / "data")
    assert alone.keys() == together.keys()
    for name, curves in alone.items():
        for metric, curve in curves["metrics"].items():
            np.testing.assert_allclose(together[name]["metrics"][metric], curve, atol=1e-12)
        assert together[name]["target_accuracy"] == curves["target_accuracy"]


@pytest.mark.parametrize("runs", [["sweep.py"], ["dann", "--task", "moons/35"]], ids=["file", "method"])
@pytest.mark.parametrize("executor", [["--isolate"], ["--executor", "ray"]], ids=["isolate", "ray"])
def test_distributed_excludes_other_executors_on_the_command_line(runs, executor, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jax.distributed, "initialize", None)  # would fail if called
    assert cli.main(["run", *runs, "--distributed", *executor]) == 2
    assert "--distributed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("executor", [{"isolate": True}, {"executor": "ray"}], ids=["isolate", "ray"])
def test_distributed_excludes_other_executors_in_python(executor, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "is_distributed", lambda: True)
    options = da.Options(results=tmp_path / "results", progress="none", **executor)
    with pytest.raises(da.UserError, match=r"Options\.isolate.*Options\.executor"):
        da.run(da.methods.SourceOnly(), "moons/35", 1, options)
    assert not options.results.exists()
