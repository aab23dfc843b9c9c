"""A run in a process of its own: whatever becomes of it is recorded, and the runs after it are made."""

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
from da_bench.studies.executors import subprocess as isolate
from da_bench.studies.executors import worker
from da_bench.studies.experiment import Experiment
from da_bench.studies.records import Records
from da_bench.training import Training

# a file as a user may have it: no package, not on Python's path
METHOD = '''
import os, time
from typing import Literal
import jax
from da_bench.methods import Method, register

@register
class Unlucky(Method):
    """Ends in many ways."""

    how: str = "well"

    def step(self, learner, state, batch):
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
FOUND = {
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


def one(method, seed=0):
    return Experiment(task="moons/35", method=method, model=Mlp(hidden=(4,)), training=TRAINING, seed=seed)


def study(experiments, results, **options):
    return da.study(experiments, da.Options(results=results, isolate=True, progress="none", **options)).records


@pytest.mark.processes
def test_what_kills_a_run_is_recorded_and_the_others_are_made(unlucky, results, capsys):
    records = study([one(unlucky(how=how)) for how in (*FOUND, "well")], results)
    *lost, fine = records
    for record, (cause, reason) in zip(lost, FOUND.values(), strict=True):
        assert (record.result["status"], record.result["cause"]) == ("failed", cause)
        assert reason in record.result["reason"]
        assert record.result["rules"] == {}
    assert fine.result["status"] == "ok"
    assert [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()] == [one[0] for one in FOUND.values()]
    assert [path for path in (results / "runs").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: 3 GiB more than there are\nand so on")]
)
def test_what_takes_more_memory_than_there_is_says_so_with_its_exit_code(error, monkeypatch, capsys):
    """The other side, but for its process: what it returns and says last is what is recorded."""

    def run_described(_):
        raise error

    monkeypatch.setattr(worker, "run_described", run_described)
    monkeypatch.setattr(worker, "_end_with_parent", lambda: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("{}\n"))
    code, last = worker.main(), capsys.readouterr().err.splitlines()[-1]
    found = isolate._outcome(code, None, last)
    assert (found.cause, found.reason) == (
        "out_of_memory",
        f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
    )


def test_a_process_that_the_system_killed_may_have_taken_too_much_memory():
    found = isolate._outcome(-signal.SIGKILL, None, "")
    assert found == ("killed", "by signal 9, which systems send to processes that take too much memory")


@pytest.mark.processes
def test_a_run_that_takes_too_long_is_ended_and_made_again_when_asked_to(unlucky, results, monkeypatch):
    monkeypatch.setattr(isolate, "GRACE_SECONDS", 0.2)
    late = study([one(unlucky(how="sleep"))], results, timeout=6)[0]
    assert (late.result["cause"], late.result["reason"]) == ("timeout", "not done after 6 seconds")
    monkeypatch.setattr(isolate, "run_in_subprocess", None)  # would fail if called
    assert study([one(unlucky(how="sleep"))], results) == [late]
    asked = []
    monkeypatch.setattr(isolate, "run_in_subprocess", lambda *_: asked.append(1) or isolate.Failure("killed", "again"))
    assert study([one(unlucky(how="sleep"))], results, retry=True)[0].result["reason"] == "again"
    assert asked == [1]


def test_a_run_that_another_process_is_making_is_left_to_it(results, monkeypatch, capsys):
    """And counted once."""

    def run_in_subprocess(message, *_):
        if json.loads(message)["config"]["seed"] == 1:
            raise LockedError("process 1 holds it")
        return isolate.Failure("error", "no")

    monkeypatch.setattr(isolate, "run_in_subprocess", run_in_subprocess)
    options = da.Options(results=results, isolate=True, progress="json")
    records = da.study([one(da.methods.SourceOnly(), seed) for seed in range(3)], options).records
    assert [record.config["seed"] for record in records] == [0, 2]
    lines = capsys.readouterr().out.splitlines()
    assert '"done": 2, "running": 0, "failed": 2' in [line for line in lines if '"progress"' in line][-2]
    assert "left to the process that is computing them" in lines[-1]


def test_a_failure_is_not_recorded_where_another_process_made_the_run(results, monkeypatch):
    run = one(da.methods.SourceOnly())

    def run_in_subprocess(*_):
        da.study([run], da.Options(results=results, progress="none"))
        return isolate.Failure("killed", "no")

    monkeypatch.setattr(isolate, "run_in_subprocess", run_in_subprocess)
    assert study([run], results)[0].result["status"] == "ok"


def test_only_failed_runs_are_made_again(results, monkeypatch):
    """Two sweeps with `retry` at once: what the first has made meanwhile stands."""
    runs = [one(da.methods.SourceOnly(), seed) for seed in range(2)]
    monkeypatch.setattr(isolate, "run_in_subprocess", lambda *_: isolate.Failure("killed", "no"))
    study(runs, results)
    options = da.Options(results=results, progress="none", retry=True)
    before = da.study(runs, options).records
    assert [record.result["status"] for record in before] == ["ok", "ok"]
    assert da.study(runs, options).records == before


def test_what_another_sweep_has_made_again_meanwhile_stands(results, monkeypatch):
    """Two sweeps with `retry` list the same failed run; the second one gets its lock when the first is done."""
    run, hold, publish, published = one(da.methods.SourceOnly()), context.hold_locks, Records.publish, []
    monkeypatch.setattr(isolate, "run_in_subprocess", lambda *_: isolate.Failure("killed", "no"))
    study([run], results)
    options = da.Options(results=results, progress="none", retry=True)

    def late(paths):
        monkeypatch.setattr(context, "hold_locks", hold)
        da.study([run], options)  # the other sweep
        return hold(paths)

    monkeypatch.setattr(context, "hold_locks", late)
    monkeypatch.setattr(Records, "publish", lambda *all_: published.append(1) or publish(*all_))
    assert da.study([run], options).records[0].result["status"] == "ok"
    assert published == [1]


@pytest.mark.parametrize(
    ("code", "kind"), [(2, UserError), (74, StorageError), (75, LockedError)], ids=["user", "storage", "held"]
)
def test_what_ends_the_sweep_ends_it_here_too(code, kind):
    with pytest.raises(kind, match=r"^no room$") as caught:
        isolate._outcome(code, None, "da-bench: no room")
    assert caught.value.code == code


def test_lines_of_another_process_are_heard_when_they_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(isolate, "READ_BYTES", 16)
    heard = []
    with open(tmp_path / "printed", "w+b") as file:
        listener = isolate._LineReader(file, heard.append)
        for part, lines in [
            (b"one\ntw", ["one"]),
            (b"o\n", ["two"]),
            (b"", []),
            (20 * b"x", [16 * "x"]),
            (b"\n", ["xxxx"]),
        ]:
            file.write(part), file.flush()
            listener.poll()
            assert heard == lines
            heard.clear()


def test_a_run_in_a_process_of_its_own_shows_its_steps_and_names_the_command(results, capsys, monkeypatch):
    monkeypatch.setitem(progress.SECONDS_BETWEEN_REPORTS, "plain", 0.0)
    monkeypatch.setattr(sys, "argv", ["da-bench", "run", "/home/me/mine.py"])
    (record,) = da.study([one(da.methods.SourceOnly())], da.Options(results=results, isolate=True)).records
    assert record.environment["command"] == "da-bench run mine.py"
    assert f"step {TRAINING.steps}" in capsys.readouterr().err


@pytest.mark.parametrize("code", [-15, 143, 1, -9])
def test_a_process_that_was_ended_for_its_time_is_late_whatever_it_says(code):
    assert isolate._outcome(code, 3.0, "last words").cause == "timeout"
    assert isolate._outcome(0, 3.0, "done just in time") is None


def test_a_second_request_to_stop_does_not_wait(monkeypatch, tmp_path):
    ended = []

    def interrupted(process, *_):
        ended.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(isolate, "_wait", interrupted)
    monkeypatch.setattr(isolate, "_send", lambda *_: None)  # it waits for its orders for ever
    with pytest.raises(KeyboardInterrupt):
        isolate.run_in_subprocess(isolate.describe_run(one(da.methods.SourceOnly()), {}), None, StopRequest())
    assert ended[0].returncode == -signal.SIGKILL


def test_modules_are_named_and_files_have_paths(unlucky, tmp_path):
    found = isolate.sources(one(unlucky()))
    assert found == sorted([str(tmp_path / "mine" / "my method.py"), "da_bench.models.mlp"])
    assert all(os.path.isfile(path) for path in found if path.endswith(".py"))


def test_a_class_from_nowhere_is_refused():
    scope = {"__name__": "__main__", "Method": da.methods.Method}
    exec("class Typed(Method):\n    def step(self, *_): ...", scope)
    with pytest.raises(UserError, match="Typed is not defined in a file"):
        isolate._source(scope["Typed"])


@pytest.mark.processes
def test_a_process_whose_parent_is_gone_saves_and_ends(results):
    """The end of its standard input tells it so, however the parent ended."""
    training = Training(steps=10**6, evaluations=10, batch_size=8)
    run = Experiment(task="moons/35", method=da.methods.SourceOnly(), model=Mlp(hidden=(4,)), training=training)
    options = {"results": results, "progress": "none", "checkpoint_seconds": 600}
    with subprocess.Popen(WORKER, stdin=subprocess.PIPE, text=True) as process:
        isolate._send(process, isolate.describe_run(run, options))
        while not list(results.glob("runs/.*.lock")):
            assert process.poll() is None
            time.sleep(0.1)
        process.stdin.close()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert len(list(results.glob("checkpoints/*/0*"))) == 1
    assert not list((results / "runs").iterdir())
