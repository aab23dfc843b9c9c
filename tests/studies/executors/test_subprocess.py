"""Runs in subprocesses: every outcome is recorded, and the remaining runs are computed."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time

import pytest

import da_bench as da
from da_bench.core import progress
from da_bench.core.config import StorageError, UserError
from da_bench.core.locks import LockedError
from da_bench.core.shutdown import StopRequest
from da_bench.methods import METHODS
from da_bench.models import Mlp
from da_bench.studies import context
from da_bench.studies.executors import subprocess as executor
from da_bench.studies.executors import worker
from da_bench.studies.experiment import Experiment
from da_bench.studies.records import Records
from da_bench.training import Training

# a user's file, neither in a package nor on Python's path
METHOD = '''
import os, time
from typing import Literal
import jax
from da_bench.methods import Method, register

@register
class Unlucky(Method):
    """Ends in the way that its field `how` names."""

    how: str = "well"

    def step(self, trainer, state, batch):
        FAULTS[self.how]()
        return state._replace(step=state.step + 1), {"loss": jax.numpy.zeros(())}

def error():
    raise ValueError("the step is wrong\\nand so on")

def sleep():
    time.sleep(600)

FAULTS = {
    "well": lambda: None, "error": error, "sleep": sleep, "abort": os.abort,
    "exit": lambda: os._exit(0),
}
'''
FAILURES = {
    "error": ("error", "ValueError: the step is wrong"),
    "abort": ("aborted", "by signal 6 (SIGABRT)"),
    "exit": ("error", "left no result"),
}
WORKER = [sys.executable, "-m", "da_bench.studies.executors.worker"]
TRAINING = Training(steps=2, evaluations=1, batch_size=8)


@pytest.fixture
def unlucky(tmp_path):
    path = tmp_path / "mine" / "my method.py"
    path.parent.mkdir()
    path.write_text(METHOD)
    yield runpy.run_path(str(path))["Unlucky"]
    METHODS._entries.pop("unlucky", None)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def experiment(method, seed=0):
    return Experiment(task="moons/35", method=method, model=Mlp(hidden=(4,)), training=TRAINING, seed=seed)


def study(experiments, results, **options):
    return da.study(experiments, da.Options(results=results, isolate=True, progress="none", **options)).records


@pytest.mark.processes
def test_the_cause_of_a_failure_is_recorded_and_the_other_runs_are_computed(unlucky, results, capsys):
    records = study([experiment(unlucky(how=how)) for how in (*FAILURES, "well")], results)
    *failed, succeeded = records
    for record, (cause, reason) in zip(failed, FAILURES.values(), strict=True):
        assert (record.result["status"], record.result["cause"]) == ("failed", cause)
        assert reason in record.result["reason"]
        assert record.result["rules"] == {}
    assert succeeded.result["status"] == "ok"
    assert [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()] == [
        cause for cause, _ in FAILURES.values()
    ]
    assert [path for path in (results / "runs").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: 3 GiB more than there are\nand so on")]
)
def test_running_out_of_memory_is_reported_with_an_exit_code(error, monkeypatch, capsys):
    """Call the worker in this process: its exit code and last line make the recorded failure."""

    def run_described(_):
        raise error

    monkeypatch.setattr(worker, "run_described", run_described)
    monkeypatch.setattr(worker, "_end_with_parent", lambda: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n"))
    code, last = worker.main(), capsys.readouterr().err.splitlines()[-1]
    failure = executor._outcome(code, None, last)
    assert (failure.cause, failure.reason) == (
        "out_of_memory",
        f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
    )


def test_a_process_killed_by_the_system_may_have_used_too_much_memory():
    failure = executor._outcome(-signal.SIGKILL, None, "")
    assert failure == ("killed", "by signal 9, which systems send to processes that take too much memory")


@pytest.mark.processes
def test_a_run_over_its_time_limit_is_ended_and_repeated_only_with_retry(unlucky, results, monkeypatch):
    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.2)
    timed_out = study([experiment(unlucky(how="sleep"))], results, timeout=6)[0]
    assert (timed_out.result["cause"], timed_out.result["reason"]) == ("timeout", "not done after 6 seconds")
    monkeypatch.setattr(executor, "run_in_subprocess", None)  # would fail if called
    assert study([experiment(unlucky(how="sleep"))], results) == [timed_out]
    repeated = []
    monkeypatch.setattr(
        executor, "run_in_subprocess", lambda *_: repeated.append(1) or executor.Failure("killed", "again")
    )
    assert study([experiment(unlucky(how="sleep"))], results, retry=True)[0].result["reason"] == "again"
    assert repeated == [1]


def test_a_run_that_another_process_computes_is_left_to_it(results, monkeypatch, capsys):
    """It is not counted as done here."""

    def run_in_subprocess(message, *_):
        if json.loads(message)["config"]["seed"] == 1:
            raise LockedError("process 1 holds it")
        return executor.Failure("error", "no")

    monkeypatch.setattr(executor, "run_in_subprocess", run_in_subprocess)
    options = da.Options(results=results, isolate=True, progress="json")
    records = da.study([experiment(da.methods.SourceOnly(), seed) for seed in range(3)], options).records
    assert [record.config["seed"] for record in records] == [0, 2]
    lines = capsys.readouterr().out.splitlines()
    assert '"done": 2, "running": 0, "failed": 2' in [line for line in lines if '"progress"' in line][-2]
    assert "left to the process that is computing them" in lines[-1]


def test_a_failure_is_not_recorded_if_another_process_has_computed_the_run(results, monkeypatch):
    run = experiment(da.methods.SourceOnly())

    def run_in_subprocess(*_):
        da.study([run], da.Options(results=results, progress="none"))
        return executor.Failure("killed", "no")

    monkeypatch.setattr(executor, "run_in_subprocess", run_in_subprocess)
    assert study([run], results)[0].result["status"] == "ok"


def test_retry_repeats_only_failed_runs(results, monkeypatch):
    """A study with `retry` keeps the records of runs that have succeeded."""
    runs = [experiment(da.methods.SourceOnly(), seed) for seed in range(2)]
    monkeypatch.setattr(executor, "run_in_subprocess", lambda *_: executor.Failure("killed", "no"))
    study(runs, results)
    options = da.Options(results=results, progress="none", retry=True)
    before = da.study(runs, options).records
    assert [record.result["status"] for record in before] == ["ok", "ok"]
    assert da.study(runs, options).records == before


def test_a_run_that_another_study_has_repeated_meanwhile_is_kept(results, monkeypatch):
    """Two studies with `retry` list the same failed run; the second gets its lock after the first has finished."""
    run, hold, publish, published = experiment(da.methods.SourceOnly()), context.hold_locks, Records.publish, []
    monkeypatch.setattr(executor, "run_in_subprocess", lambda *_: executor.Failure("killed", "no"))
    study([run], results)
    options = da.Options(results=results, progress="none", retry=True)

    def hold_after_other_study(paths):
        monkeypatch.setattr(context, "hold_locks", hold)
        da.study([run], options)  # the other study
        return hold(paths)

    monkeypatch.setattr(context, "hold_locks", hold_after_other_study)
    monkeypatch.setattr(Records, "publish", lambda *all_: published.append(1) or publish(*all_))
    assert da.study([run], options).records[0].result["status"] == "ok"
    assert published == [1]


@pytest.mark.parametrize(
    ("code", "kind"), [(2, UserError), (74, StorageError), (75, LockedError)], ids=["user", "storage", "held"]
)
def test_errors_that_end_a_study_are_raised_here_too(code, kind):
    with pytest.raises(kind, match=r"^no room$") as caught:
        executor._outcome(code, None, "da-bench: no room")
    assert caught.value.code == code


def test_lines_of_another_process_are_read_when_they_are_complete(tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "READ_BYTES", 16)
    received = []
    with open(tmp_path / "printed", "w+b") as file:
        reader = executor._LineReader(file, received.append)
        for part, lines in [
            (b"one\ntw", ["one"]),
            (b"o\n", ["two"]),
            (b"", []),
            (20 * b"x", [16 * "x"]),
            (b"\n", ["xxxx"]),
        ]:
            file.write(part), file.flush()
            reader.poll()
            assert received == lines
            received.clear()


def test_a_run_in_a_subprocess_shows_its_steps_and_records_the_command(results, capsys, monkeypatch):
    monkeypatch.setitem(progress.SECONDS_BETWEEN_REPORTS, "plain", 0.0)
    monkeypatch.setattr(sys, "argv", ["da-bench", "run", "/home/me/mine.py"])
    (record,) = da.study([experiment(da.methods.SourceOnly())], da.Options(results=results, isolate=True)).records
    assert record.environment["command"] == "da-bench run mine.py"
    assert f"step {TRAINING.steps}" in capsys.readouterr().err


@pytest.mark.parametrize("code", [-15, 143, 1, -9])
def test_a_process_ended_for_its_time_limit_is_a_timeout_whatever_its_exit_code(code):
    assert executor._outcome(code, 3.0, "last words").cause == "timeout"
    assert executor._outcome(0, 3.0, "done just in time") is None


def test_a_second_request_to_stop_does_not_wait(monkeypatch, tmp_path):
    ended = []

    def interrupted(process, *_):
        ended.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(executor, "_wait", interrupted)
    monkeypatch.setattr(executor, "_send", lambda *_: None)  # the process waits for its input for ever
    with pytest.raises(KeyboardInterrupt):
        executor.run_in_subprocess(executor.describe_run(experiment(da.methods.SourceOnly()), {}), None, StopRequest())
    assert ended[0].returncode == -signal.SIGKILL


def test_sources_are_module_names_or_file_paths(unlucky, tmp_path):
    sources = executor.sources(experiment(unlucky()))
    assert sources == sorted([str(tmp_path / "mine" / "my method.py"), "da_bench.models.mlp"])
    assert all(os.path.isfile(path) for path in sources if path.endswith(".py"))


def test_a_class_that_is_not_in_a_file_is_refused():
    scope = {"__name__": "__main__", "Method": da.methods.Method}
    exec("class Typed(Method):\n    def step(self, *_): ...", scope)
    with pytest.raises(UserError, match="Typed"):
        executor._source(scope["Typed"])


@pytest.mark.processes
def test_a_process_whose_parent_has_ended_saves_a_checkpoint_and_ends(results):
    """It notices the end of its standard input, however the parent ended."""
    training = Training(steps=10**6, evaluations=10, batch_size=8)
    run = Experiment(task="moons/35", method=da.methods.SourceOnly(), model=Mlp(hidden=(4,)), training=training)
    options = {"results": results, "progress": "none", "checkpoint_seconds": 600}
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, text=True) as process:
        executor._send(process, executor.describe_run(run, options))
        while not list(results.glob("runs/.*.lock")):
            assert process.poll() is None
            time.sleep(0.1)
        process.stdin.close()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert len(list(results.glob("checkpoints/*/0*"))) == 1
    assert not list((results / "runs").iterdir())
