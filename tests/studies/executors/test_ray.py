"""Runs on a Ray cluster: what is asked of it, what comes back, and a real one whose worker is killed on the way."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import sys
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import pytest

import da_bench as da
from da_bench import cli
from da_bench.core import locks
from da_bench.core.config import UserError
from da_bench.core.locks import LockedError
from da_bench.core.shutdown import Stopped, StopRequest
from da_bench.studies.executors import ray as cluster
from da_bench.studies.executors import subprocess as isolate

SHORT = da.Training(steps=10, evaluations=2, batch_size=16)


def experiments(seeds=2, training=SHORT):
    method = da.methods.Dann(widths=(4,))
    return da.over_seeds([da.Experiment(task="moons/35", method=method, training=training)], seeds)


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none", executor="ray")


class RayError(Exception):
    """Any of Ray's own."""


class RayTaskError(RayError):
    """What a task raised is its `cause`."""

    def __init__(self, cause):
        super().__init__(f"traceback\n{type(cause).__name__}: {cause}")
        self.cause = cause


class FakeRay:
    """As much of Ray as is asked of it: a task is computed when its outcome is waited for."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        OutOfMemoryError=type("OutOfMemoryError", (RayError,), {}),
        WorkerCrashedError=type("WorkerCrashedError", (RayError,), {}),
        NodeDiedError=type("NodeDiedError", (RayError,), {}),
    )

    def __init__(self, there=True, **resources):
        self.there, self.resources = there, resources
        self.joined, self.asked, self.tasks, self.cancelled = False, {}, [], []

    def is_initialized(self):
        return self.joined

    def init(self, address, **_):
        assert address == "auto"
        if not self.there:
            raise ConnectionError("Could not find any running Ray instance.")
        self.joined = True

    def shutdown(self):
        self.joined = False

    def nodes(self):
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": {"CPU": 99, "GPU": 99}}]

    def remote(self, task):
        return SimpleNamespace(options=lambda **asked: self.asked.update(asked) or self._bound(task))

    def _bound(self, task):
        return SimpleNamespace(remote=lambda *values: self.tasks.append((task, values)) or len(self.tasks) - 1)

    def wait(self, refs, num_returns=1, timeout=None):
        return refs[:num_returns], refs[num_returns:]

    def get(self, ref):
        task, values = self.tasks[ref]
        try:
            return task(*values)
        except UserError as error:
            raise RayTaskError(error) from None

    def cancel(self, ref, recursive):
        self.cancelled.append(ref)


@pytest.fixture
def ray(monkeypatch):
    fake = FakeRay(CPU=4.0, GPU=1.0)
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(os, "environ", dict(os.environ))  # a task sets variables of its worker
    return fake


@pytest.fixture
def outcomes(ray, monkeypatch):
    """Outcomes of tasks, first to last, in the place of making anything."""
    given = []

    def run_on_node(asked):
        found = given.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(cluster, "run_on_node", run_on_node)
    return given


def asked(tmp_path, seed=0):
    lock = tmp_path / ".run.lock"
    return cluster.RunRequest(isolate.describe_run(experiments(seed + 1)[seed], {}), lock, None, {})


def test_without_ray_one_message_says_how_to_get_it(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[ray\]"'):
        da.study(experiments(), options)
    assert not options.results.exists()


def test_without_a_cluster_the_message_says_how_to_start_one(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay(there=False))
    with pytest.raises(UserError, match="ray start --head"):
        da.study(experiments(), options)
    assert not options.results.exists()


def test_a_run_on_the_cluster_is_the_run_made_here(ray, tmp_path, monkeypatch):
    """The path from task to record, with a process for each run, but without Ray."""
    monkeypatch.chdir(tmp_path)
    there = da.Options(results=Path("there"), progress="none", executor="ray", run_cpus=2, run_gpus=0.5)
    made = da.study(experiments(1), there).records
    here = da.study(experiments(1), da.Options(results=tmp_path / "here", progress="none", isolate=True)).records
    assert [one.result["status"] for one in made] == ["ok"]
    assert [one.result["state"] for one in made] == [one.result["state"] for one in here]
    assert {"num_cpus": 2.0, "num_gpus": 0.5, "max_retries": cluster.RETRIES}.items() <= ray.asked.items()
    assert not ray.joined
    assert [path.name for path in Path("there").iterdir()] == ["runs"]


def test_what_is_asked_is_plain_and_the_same_from_everywhere(outcomes, ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes += [RayTaskError(LockedError("process 1 holds it"))] * 2
    with pytest.raises(LockedError):
        da.study(experiments(1), da.Options(results=Path("results"), progress="none", executor="ray", timeout=9))
    (_, (first,)), _ = ray.tasks
    message = json.loads(first.message)
    assert message["options"]["results"] == str(tmp_path / "results")
    assert (message["options"]["executor"], message["options"]["isolate"]) == ("here", False)
    assert first.lock == tmp_path / "results" / "runs" / f".{experiments(1)[0].id}.lock"
    assert first.timeout == 9


def test_devices_are_counted_where_the_run_is_made(outcomes, ray, options):
    """A node may have more of them than the machine that asks, or fewer."""
    asking = dataclasses.replace(options, devices_per_run=16)
    outcomes.append(isolate.Failure("killed", "by signal 9"))
    assert da.study(experiments(1), asking).records[0].result["cause"] == "killed"
    (_, (first,)), *_ = ray.tasks
    there = json.loads(first.message)["options"] | {"results": options.results.with_name("there"), "shard": (1, 1)}
    with pytest.raises(UserError, match="16 is more than the 8 devices"):
        da.study(experiments(1), da.Options(**there))


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (isolate.Failure("killed", "by signal 9"), "killed"),
        (FakeRay.exceptions.WorkerCrashedError("it died"), "killed"),
        (FakeRay.exceptions.NodeDiedError("it died"), "killed"),
        (FakeRay.exceptions.OutOfMemoryError("the node was full"), "out_of_memory"),
    ],
)
def test_a_failure_is_on_record_with_its_cause(found, cause, outcomes, options):
    outcomes.append(found)
    (record,) = da.study(experiments(1), options).records
    assert record.result["status"] == "failed"
    assert cause in json.dumps(record.result)


def test_a_refusal_is_raised_as_here_and_takes_the_rest_back(outcomes, ray, options):
    outcomes.append(RayTaskError(UserError("no such data")))
    with pytest.raises(UserError, match=r"^no such data$"):
        da.study(experiments(3), options)
    assert ray.cancelled == [1, 2]


def test_a_node_without_the_package_is_told_of(outcomes, options):
    outcomes.append(RayTaskError(ModuleNotFoundError("No module named 'da_bench'")))
    with pytest.raises(UserError, match=r"cannot run da-bench.*No module named 'da_bench'"):
        da.study(experiments(1), options)


def test_a_request_to_stop_takes_all_back_and_waits(ray, tmp_path):
    request = StopRequest()
    request.signal = signal.SIGTERM
    with pytest.raises(Stopped):
        list(cluster.outcomes_on_cluster(ray, [asked(tmp_path), asked(tmp_path, 1)], cluster.Resources(1, 0), request))
    assert ray.cancelled == [0, 1]


def test_whether_a_node_is_large_enough(ray):
    assert cluster.has_node_for(ray, cluster.Resources(4, 1))
    assert not cluster.has_node_for(ray, cluster.Resources(5, 0))
    assert not cluster.has_node_for(ray, cluster.Resources(1, 2))


def test_a_process_takes_no_more_of_a_gpu_than_it_asked_for(monkeypatch):
    monkeypatch.setenv("DA_BENCH_DATA", "data")
    assert cluster.worker_environment(cluster.Resources(1, 0))["JAX_PLATFORMS"] == "cpu"
    assert cluster.worker_environment(cluster.Resources(1, 0.5))["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"
    whole = cluster.worker_environment(cluster.Resources(1, 1))
    assert {"JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION"}.isdisjoint(whole)
    assert whole["DA_BENCH_DATA"] == os.path.abspath("data")


def test_a_task_waits_for_what_a_dead_worker_left(tmp_path, monkeypatch):
    """Its process saves first; only then is the run made again."""
    asks, waits = asked(tmp_path), []
    with contextlib.ExitStack() as left:
        left.enter_context(locks.hold_locks([asks.lock]))
        monkeypatch.setattr(cluster.time, "sleep", lambda seconds: waits.append(seconds) or left.close())
        monkeypatch.setattr(cluster, "run_in_subprocess", lambda *_: None)
        assert cluster.run_on_node(asks) is None
    assert waits == [cluster.POLL_SECONDS]


def test_the_command_line_says_where(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "dann", "--task", "moons/35", "--seeds", "1", "--executor", "ray", "--run-gpus", "1"]) == 2
    assert "da-bench[ray]" in capsys.readouterr().err


def holder(folder):
    """The process that makes a run whose checkpoint is on disk, or None."""
    if not list(folder.glob("checkpoints/*/0*")):
        return None
    texts = [lock.read_text() for lock in folder.glob("runs/.*.lock")]
    return next((int(text) for text in texts if text), None)


def parent(process):
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rsplit(")", 1)[1].split()[1])


def kill_a_worker(folder, seconds=120):
    """SIGKILL the Ray worker of a run that is on its way; (its process, that of the run)."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if process := holder(folder):
                worker = parent(process)
                os.kill(worker, signal.SIGKILL)
                return worker, process
        time.sleep(0.02)
    raise AssertionError("no run began")


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster of two nodes of a CPU each, on this machine."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_a_worker_killed_on_the_way_costs_no_run_and_no_bit(two_nodes, tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    wanted = experiments(4, da.Training(steps=20_000, evaluations=4, batch_size=32))
    options = da.Options(results=there, executor="ray", checkpoint_seconds=0.1, progress="none")
    with ThreadPool(1) as other:
        killing = other.apply_async(kill_a_worker, (there,))
        made = da.study(wanted, options).records
        worker, process = killing.get()
    assert not {worker, process} & {int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()}
    assert [one.result["status"] for one in made] == ["ok"] * 4
    assert sorted(path.name for path in (there / "runs").iterdir()) == sorted(one.id for one in wanted)
    assert [path.name for path in there.iterdir()] == ["runs"]
    alone = da.study(wanted, da.Options(results=here, isolate=True, progress="none")).records
    assert [one.result["state"] for one in made] == [one.result["state"] for one in alone]
