"""Runs of a study on the machines of a Ray cluster, which places and retries them; here is only what is asked of it.

A run is made on a node as `isolate` makes one here, in a process of its own, with the same folder, lock and checkpoint.
So a task that Ray makes again, as its worker or node died, goes on from the checkpoint, or finds the run on record.
"""

import contextlib
import os
import signal
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError, first_line
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.shutdown import Request, Stopped, listening
from da_bench.studies.executors import subprocess as isolate
from da_bench.studies.executors.subprocess import GRACE, Failure

RETRIES = 3  # of a task whose worker or node died; what ends the run's own process is a finding, and final
PATIENCE = 2 * GRACE  # seconds in which what a dead worker left behind saves, ends and gives its lock up
POLL = 0.2
FOLDERS = ("DA_BENCH_DATA", "DA_BENCH_CACHE", "PYTHONPATH")  # variables that a node's own may lack

Found = Failure | LockedError | None  # None: its process ended well; LockedError: another process is making the run


class Need(NamedTuple):
    """What a run asks of a node: CPUs and GPUs, of which it may be a part."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


class Asked(NamedTuple):
    """A run as plain values. message: of `isolate.described`; lock: who makes the run holds it."""

    message: str
    lock: Path
    timeout: float | None
    environ: dict[str, str]


def environ(need: Need) -> dict[str, str]:
    """Variables of a run's process: where data and code lie, as here, and no more of a GPU than was asked for."""
    here = {name: _absolute(os.environ[name]) for name in FOLDERS if os.environ.get(name)}
    if need.gpus == 0:
        return {**here, "JAX_PLATFORMS": "cpu"}
    return here if need.gpus >= 1 else {**here, "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * need.gpus:.3f}"}


def _absolute(paths: str) -> str:
    return os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """`ray`, in the cluster that there is; a connection that the caller had stays.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise UserError(
            "no Ray cluster: start one with `ray start --head` here, and `ray start --address=HERE:6379` on each other "
            "machine, or name one in RAY_ADDRESS"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError('Options.executor "ray" needs Ray: pip install "da-bench[ray]"') from error
    return ray


def fits(ray: Any, need: Need) -> bool:
    """Whether a node of the cluster has what a run asks for. An elastic cluster may get one later."""
    wanted: Mapping[str, float] = {"CPU": need.cpus, "GPU": need.gpus}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes)


def placed(ray: Any, runs: Sequence[Asked], need: Need, request: Request) -> Generator[tuple[int, Found], None, None]:
    """Make the runs on the cluster; (index, outcome) of each when it is over.

    Raises:
        Stopped: on request, after the processes have saved. UserError: a run or a node refused what was asked for.
    """
    task = ray.remote(make).options(
        num_cpus=need.cpus, num_gpus=need.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD", name="da-bench run"
    )
    going = {task.remote(one): i for i, one in enumerate(runs)}
    try:
        while going:
            request.raise_if_made()
            over, _ = ray.wait(list(going), timeout=POLL)
            for ref in over:
                yield going.pop(ref), _found(ray, ref)
    finally:
        _cancel(ray, list(going))


def _found(ray: Any, ref: Any) -> Found:
    """What became of a run. Its worker's death, again and again, is a finding as its own is."""
    try:
        found: Found = ray.get(ref)
    except ray.exceptions.OutOfMemoryError as error:
        return Failure("out_of_memory", first_line(error))
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        return Failure("killed", f"with its worker, {RETRIES + 1} times; {first_line(error)}")
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, LockedError):
            return cause
        if isinstance(cause, UserError):
            raise cause from error
        raise UserError(f"a node of the cluster cannot make runs: {_last_line(error)}; is da-bench on it?") from error
    return found


def _cancel(ray: Any, going: list[Any]) -> None:
    """Take back what has not begun, stop what has, and wait until that has saved."""
    for ref in going:
        ray.cancel(ref, recursive=False)
    if going:
        ray.wait(going, num_returns=len(going), timeout=PATIENCE)


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def make(asked: Asked) -> Found:
    """On a node: make the run as `isolate` does. Ray asks to stop with SIGINT, and ends workers with SIGTERM."""
    os.environ.update(asked.environ)
    try:
        with listening() as request:
            _await(asked.lock, request)
            return isolate.make(asked.message, asked.timeout, request)
    except Stopped as stopped:
        if stopped.signal == signal.SIGTERM:  # all is saved, and Ray hears it again: the worker ends, the run moves on
            signal.raise_signal(signal.SIGTERM)
        raise


def _await(lock: Path, request: Request) -> None:
    """Until nobody holds the lock, or for `PATIENCE`: another maker than a dead worker's may have it for long."""
    end = time.monotonic() + PATIENCE
    while _held(lock) and time.monotonic() < end:
        request.raise_if_made()
        time.sleep(POLL)


def _held(lock: Path) -> bool:
    try:
        with hold_locks([lock]):
            return False
    except LockedError:
        return True
