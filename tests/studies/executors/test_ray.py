"""Runs on a Ray cluster: requests, outcomes, and a real cluster whose worker is killed during a run."""

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
from da_bench.studies.executors import ray as ray_executor
from da_bench.studies.executors import subprocess as subprocess_executor

SHORT = da.Training(steps=10, evaluations=2, batch_size=16)


def experiments(seeds=2, training=SHORT):
    method = da.methods.Dann(widths=(4,))
    return da.over_seeds([da.Experiment(task="moons/35", method=method, training=training)], seeds)


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none", executor="ray")


class RayError(Exception):
    """Base class of Ray's errors."""


class RayTaskError(RayError):
    """An error in a task; the original exception is its `cause`."""

    def __init__(self, cause):
        super().__init__(f"traceback\n{type(cause).__name__}: {cause}")
        self.cause = cause


class FakeRay:
    """The part of Ray's interface that we use: a task is computed when its outcome is requested."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        OutOfMemoryError=type("OutOfMemoryError", (RayError,), {}),
        WorkerCrashedError=type("WorkerCrashedError", (RayError,), {}),
        NodeDiedError=type("NodeDiedError", (RayError,), {}),
    )

    def __init__(self, is_running=True, **resources):
        self.is_running, self.resources = is_running, resources
        self.initialized, self.requested, self.tasks, self.cancelled = False, {}, [], []

    def is_initialized(self):
        return self.initialized

    def init(self, address, **_):
        assert address == "auto"
        if not self.is_running:
            raise ConnectionError("Could not find any running Ray instance.")
        self.initialized = True

    def shutdown(self):
        self.initialized = False

    def nodes(self):
        return [{"Alive": True, "Resources": self.resources}, {"Alive": False, "Resources": {"CPU": 99, "GPU": 99}}]

    def remote(self, task):
        return SimpleNamespace(options=lambda **options: self.requested.update(options) or self._bound(task))

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
    """Outcomes of tasks, in order, instead of computing anything."""
    queue = []

    def run_on_node(request):
        outcome = queue.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(ray_executor, "run_on_node", run_on_node)
    return queue


def request_for(tmp_path, seed=0):
    lock = tmp_path / ".run.lock"
    return ray_executor.RunRequest(subprocess_executor.describe_run(experiments(seed + 1)[seed], {}), lock, None, {})


def test_without_ray_the_error_says_how_to_install_it(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[ray\]"'):
        da.study(experiments(), options)
    assert not options.results.exists()


def test_without_a_cluster_the_error_says_how_to_start_one(options, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay(is_running=False))
    with pytest.raises(UserError, match="ray start --head"):
        da.study(experiments(), options)
    assert not options.results.exists()


@pytest.mark.processes
def test_a_run_on_the_cluster_equals_a_local_run(ray, tmp_path, monkeypatch):
    """The path from task to record, with a process for each run, but without Ray."""
    monkeypatch.chdir(tmp_path)
    options = da.Options(results=Path("cluster"), progress="none", executor="ray", run_cpus=2, run_gpus=0.5)
    on_cluster = da.study(experiments(1), options).records
    local = da.study(experiments(1), da.Options(results=tmp_path / "local", progress="none", isolate=True)).records
    assert [record.result["status"] for record in on_cluster] == ["ok"]
    assert [record.result["state"] for record in on_cluster] == [record.result["state"] for record in local]
    assert {"num_cpus": 2.0, "num_gpus": 0.5, "max_retries": ray_executor.RETRIES}.items() <= ray.requested.items()
    assert not ray.initialized
    assert [path.name for path in Path("cluster").iterdir()] == ["runs"]


def test_a_request_is_plain_data_with_absolute_paths(outcomes, ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcomes += [RayTaskError(LockedError("process 1 holds it"))] * 2
    with pytest.raises(LockedError):
        da.study(experiments(1), da.Options(results=Path("results"), progress="none", executor="ray", timeout=9))
    (_, (request,)), _ = ray.tasks
    message = json.loads(request.message)
    assert message["options"]["results"] == str(tmp_path / "results")
    assert (message["options"]["executor"], message["options"]["isolate"]) == ("here", False)
    assert request.lock == tmp_path / "results" / "runs" / f".{experiments(1)[0].id}.lock"
    assert request.timeout == 9


def test_devices_are_counted_on_the_node_that_computes(outcomes, ray, options):
    """A node may have more devices than the local machine, or fewer."""
    many_devices = dataclasses.replace(options, devices_per_run=16)
    outcomes.append(subprocess_executor.Failure("killed", "by signal 9"))
    assert da.study(experiments(1), many_devices).records[0].result["cause"] == "killed"
    (_, (request,)), *_ = ray.tasks
    node_options = json.loads(request.message)["options"] | {
        "results": options.results.with_name("node"),
        "shard": (1, 1),
    }
    with pytest.raises(UserError, match="16 is more than the 8 devices"):
        da.study(experiments(1), da.Options(**node_options))


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (subprocess_executor.Failure("killed", "by signal 9"), "killed"),
        (FakeRay.exceptions.WorkerCrashedError("it died"), "killed"),
        (FakeRay.exceptions.NodeDiedError("it died"), "killed"),
        (FakeRay.exceptions.OutOfMemoryError("the node was full"), "out_of_memory"),
    ],
)
def test_a_failure_is_recorded_with_its_cause(outcome, cause, outcomes, options):
    outcomes.append(outcome)
    (record,) = da.study(experiments(1), options).records
    assert record.result["status"] == "failed"
    assert cause in json.dumps(record.result)


def test_a_user_error_of_a_task_is_raised_and_the_other_tasks_are_cancelled(outcomes, ray, options):
    outcomes.append(RayTaskError(UserError("no such data")))
    with pytest.raises(UserError, match=r"^no such data$"):
        da.study(experiments(3), options)
    assert ray.cancelled == [1, 2]


def test_a_node_without_the_package_is_reported(outcomes, options):
    outcomes.append(RayTaskError(ModuleNotFoundError("No module named 'da_bench'")))
    with pytest.raises(UserError, match=r"No module named 'da_bench'"):
        da.study(experiments(1), options)


def test_a_request_to_stop_cancels_all_tasks_and_waits(ray, tmp_path):
    request = StopRequest()
    request.signal = signal.SIGTERM
    with pytest.raises(Stopped):
        list(
            ray_executor.outcomes_on_cluster(
                ray, [request_for(tmp_path), request_for(tmp_path, 1)], ray_executor.Resources(1, 0), request
            )
        )
    assert ray.cancelled == [0, 1]


def test_has_node_for_finds_a_node_with_enough_resources(ray):
    assert ray_executor.has_node_for(ray, ray_executor.Resources(4, 1))
    assert not ray_executor.has_node_for(ray, ray_executor.Resources(5, 0))
    assert not ray_executor.has_node_for(ray, ray_executor.Resources(1, 2))


def test_a_process_uses_no_more_of_a_gpu_than_it_requested(monkeypatch):
    monkeypatch.setenv("DA_BENCH_DATA", "data")
    assert ray_executor.worker_environment(ray_executor.Resources(1, 0))["JAX_PLATFORMS"] == "cpu"
    assert ray_executor.worker_environment(ray_executor.Resources(1, 0.5))["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"
    environment = ray_executor.worker_environment(ray_executor.Resources(1, 1))
    assert {"JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION"}.isdisjoint(environment)
    assert environment["DA_BENCH_DATA"] == os.path.abspath("data")


def test_a_task_waits_for_the_process_of_a_dead_worker(tmp_path, monkeypatch):
    """The process of the dead worker saves a checkpoint and releases its lock; then the run is repeated."""
    request, waits = request_for(tmp_path), []
    with contextlib.ExitStack() as held_lock:
        held_lock.enter_context(locks.hold_locks([request.lock]))
        monkeypatch.setattr(ray_executor.time, "sleep", lambda seconds: waits.append(seconds) or held_lock.close())
        monkeypatch.setattr(ray_executor, "run_in_subprocess", lambda *_: None)
        assert ray_executor.run_on_node(request) is None
    assert waits == [ray_executor.POLL_SECONDS]


def test_the_command_line_selects_the_executor(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "dann", "--task", "moons/35", "--seeds", "1", "--executor", "ray", "--run-gpus", "1"]) == 2
    assert "da-bench[ray]" in capsys.readouterr().err


def holder(folder):
    """The process that computes a run with a checkpoint on disk, or None."""
    if not list(folder.glob("checkpoints/*/0*")):
        return None
    texts = [lock.read_text() for lock in folder.glob("runs/.*.lock")]
    return next((int(text) for text in texts if text), None)


def parent(process):
    stat = Path(f"/proc/{process}/stat").read_text()
    return int(stat.rsplit(")", 1)[1].split()[1])


def kill_a_worker(folder, seconds=120):
    """SIGKILL the Ray worker of an unfinished run; return the ids of its process and of the run's process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if process := holder(folder):
                worker = parent(process)
                os.kill(worker, signal.SIGKILL)
                return worker, process
        time.sleep(0.02)
    raise AssertionError("no run has started")


@pytest.fixture
def two_nodes(monkeypatch):
    """A cluster on this machine of two nodes with one CPU each."""
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
@pytest.mark.filterwarnings("ignore")  # warnings of Ray itself
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
def test_a_killed_worker_changes_no_result(two_nodes, tmp_path):
    cluster_folder, local_folder = tmp_path / "cluster", tmp_path / "local"
    runs = experiments(4, da.Training(steps=20_000, evaluations=4, batch_size=32))
    options = da.Options(results=cluster_folder, executor="ray", checkpoint_seconds=0.1, progress="none")
    with ThreadPool(1) as pool:
        killing = pool.apply_async(kill_a_worker, (cluster_folder,))
        on_cluster = da.study(runs, options).records
        worker, process = killing.get()
    assert not {worker, process} & {int(record.name) for record in Path("/proc").iterdir() if record.name.isdecimal()}
    assert [record.result["status"] for record in on_cluster] == ["ok"] * 4
    assert sorted(path.name for path in (cluster_folder / "runs").iterdir()) == sorted(record.id for record in runs)
    assert [path.name for path in cluster_folder.iterdir()] == ["runs"]
    local = da.study(runs, da.Options(results=local_folder, isolate=True, progress="none")).records
    assert [record.result["state"] for record in on_cluster] == [record.result["state"] for record in local]
