"""The benchmark of training steps: its report, and what it measures without other frameworks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import engine
from benchmarks.engine_report import report_lines

RESULTS = Path(__file__).parents[2] / "results" / "benchmarks"


def test_the_committed_report_is_that_of_its_json():
    result = json.loads((RESULTS / "engine.json").read_text())
    assert (RESULTS / "engine.md").read_text() == "\n".join(report_lines(result)) + "\n"


def test_help_explains_every_option(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["engine", "--help"])
    with pytest.raises(SystemExit) as stop:
        engine.main()
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(option in printed for option in ("--peers", "--quick", "--rounds", "--only", "--results"))


def test_a_measurement_without_any_framework_is_absent():
    measurement = engine.Measurement(("loss", "mmd", "2", "3"), {"torch": {"request": "loss"}})
    result = engine.measure(measurement, {}, rounds=2)
    assert result["seconds"] == {}
    assert list(result["absent"]) == ["torch"]


def test_start_up_is_measured_with_a_cache_of_its_own(monkeypatch, tmp_path):
    """Both variables choose the folder of compiled programs; with either one of the user's, the cold run is warm."""
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "of_the_user"))
    caches = []

    def run(command, env, **_):
        caches.append((env["DA_BENCH_CACHE"], env["XDG_CACHE_HOME"]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    engine.time_commands(engine.SINGLE_STEP)
    assert len(caches) == 2
    assert len(set(caches)) == 1
    assert str(tmp_path) not in caches[0][0]


def test_the_worker_times_every_loss(tmp_path):
    """In a process of its own, because it registers a method."""
    worker = engine.Worker([sys.executable, "-m", "benchmarks.da_bench_worker", "--devices", "1"], tmp_path)
    try:
        for loss in engine.LOSS_SHAPES:
            answer = worker.ask({"request": "loss", "loss": loss, "n": 4, "d": 3, "repeats": 1})
            assert answer.get("seconds", 0) > 0, answer
        assert "TypeError" in worker.ask({"request": "loss", "no_such_argument": 1})["absent"]
    finally:
        worker.close()


def test_the_benchmark_of_data_loading_starts():
    """In a process of its own, because it registers a network."""
    command = [sys.executable, "-m", "benchmarks.data", "--help"]
    finished = subprocess.run(command, cwd=RESULTS.parents[1], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
