"""Runs on the machines of a Ray cluster, which places and retries them.

A node computes a run as `subprocess` does here, in its own process, with the same folder, lock and checkpoint. So when
Ray repeats a task because its worker or node died, the run continues from its checkpoint or is already on record.
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
from da_bench.core.shutdown import Stopped, StopRequest, stop_on_signal
from da_bench.studies.context import StudyContext
from da_bench.studies.executors.subprocess import (
    GRACE_SECONDS,
    Failure,
    describe_run,
    is_free,
    run_in_subprocess,
    settle,
    worker_options,
)
from da_bench.studies.options import Options
from da_bench.studies.prepare import PreparedGroup

RETRIES = 3  # of a task whose worker or node died; the end of the run's own process is final
ORPHAN_GRACE_SECONDS = 2 * GRACE_SECONDS  # for a dead worker's run to save, end and release its lock
POLL_SECONDS = 0.2
VARIABLES = ("DA_BENCH_DATA", "DA_BENCH_CACHE", "PYTHONPATH")  # paths that a node's own environment may lack

Outcome = Failure | LockedError | None  # None: the process ended well; LockedError: another process computes the run


class Resources(NamedTuple):
    """What a run asks of a node.

    Attributes:
        cpus: number of CPUs.
        gpus: number of GPUs; may be a fraction of one.
    """

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


class RunRequest(NamedTuple):
    """A run as plain values, which Ray sends to a node.

    Attributes:
        message: from `subprocess.describe_run`.
        lock: the file that the process that computes the run locks.
        timeout: seconds that the process may take; None: unlimited.
        environ: variables of its environment.
    """

    message: str
    lock: Path
    timeout: float | None
    environ: dict[str, str]


def run_groups(groups: list[PreparedGroup], context: StudyContext) -> list[PreparedGroup]:
    """Compute every run on the cluster, each in its own process; each ends on record, failed if it left no result.

    Returns:
        Groups of one run each that were left because another process is computing them.

    Raises:
        Stopped: on request, after the processes have saved.
        UserError: a run or a node refused its settings.
    """
    runs = [group.select([experiment]) for group in groups for experiment in group.experiments]
    free = [run for run in runs if is_free(run, context)]
    if not free:
        return runs
    options, ray = context.options, _import_ray()
    resources = Resources(options.run_cpus, options.run_gpus)
    requests = [
        RunRequest(
            message=describe_run(run.example, worker_options(options)),
            lock=Path(os.path.abspath(context.records.lock(run.example.id))),
            timeout=options.timeout,
            environ=worker_environment(resources),
        )
        for run in free
    ]
    context.progress.start_group("on the cluster", len(free))
    if not has_node_for(ray, resources):
        context.progress.note(f"no node of the cluster has {resources}, which each run asks for: they wait for one")
    with contextlib.closing(outcomes_on_cluster(ray, requests, resources, context.request)) as outcomes:
        done = {
            free[i].example.id
            for i, outcome in outcomes
            if not isinstance(outcome, LockedError) and settle(free[i], outcome, context)
        }
    return [run for run in runs if run.example.id not in done]


def worker_environment(resources: Resources) -> dict[str, str]:
    """Return variables of a run's process: data and code at the same paths as here, and its share of a GPU."""
    paths = {name: _absolute(os.environ[name]) for name in VARIABLES if os.environ.get(name)}
    if resources.gpus == 0:
        return {**paths, "JAX_PLATFORMS": "cpu"}
    return paths if resources.gpus >= 1 else {**paths, "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 * resources.gpus:.3f}"}


def _absolute(paths: str) -> str:
    return os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))


@contextlib.contextmanager
def connected(options: Options) -> Iterator[None]:
    """Connect to the running Ray cluster where the options ask for it; an existing connection stays.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    if options.executor != "ray" or (ray := _import_ray()).is_initialized():
        yield
        return
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        raise UserError(
            "no Ray cluster: start one with `ray start --head` here, and `ray start --address=HERE:6379` on each other "
            "machine, or name one in RAY_ADDRESS"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError('Options.executor "ray" needs Ray: pip install "da-bench[ray]"') from error
    return ray


def has_node_for(ray: Any, resources: Resources) -> bool:
    """Whether a node of the cluster has what a run asks for. An elastic cluster may add one later."""
    wanted: Mapping[str, float] = {"CPU": resources.cpus, "GPU": resources.gpus}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes)


def outcomes_on_cluster(
    ray: Any, runs: Sequence[RunRequest], resources: Resources, request: StopRequest
) -> Generator[tuple[int, Outcome], None, None]:
    """Compute runs on the cluster; yield (index, outcome) of each when it ends.

    Raises:
        Stopped: on request, after the processes have saved.
        UserError: a run or a node refused its settings.
    """
    task = ray.remote(run_on_node).options(
        num_cpus=resources.cpus,
        num_gpus=resources.gpus,
        max_retries=RETRIES,
        scheduling_strategy="SPREAD",
        name="da-bench run",
    )
    pending = {task.remote(run): i for i, run in enumerate(runs)}
    try:
        while pending:
            request.raise_if_requested()
            ready, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
            for reference in ready:
                yield pending.pop(reference), _outcome(ray, reference)
    finally:
        _cancel(ray, list(pending))


def _outcome(ray: Any, reference: Any) -> Outcome:
    """Outcome of a task; a worker that dies again and again counts as the run's failure."""
    try:
        outcome: Outcome = ray.get(reference)
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
        last_line = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise UserError(f"a node of the cluster cannot run da-bench: {last_line}; is it installed there?") from error
    return outcome


def _cancel(ray: Any, references: list[Any]) -> None:
    """Cancel tasks that have not begun, stop the others, and wait until these have saved."""
    for reference in references:
        ray.cancel(reference, recursive=False)
    if references:
        ray.wait(references, num_returns=len(references), timeout=ORPHAN_GRACE_SECONDS)


def run_on_node(run: RunRequest) -> Outcome:
    """Compute a run in its own process, on the node. Ray asks to stop with SIGINT and ends workers with SIGTERM."""
    os.environ.update(run.environ)
    try:
        with stop_on_signal() as request:
            _wait_for_lock(run.lock, request)
            return run_in_subprocess(run.message, run.timeout, request)
    except Stopped as stopped:
        if stopped.signal == signal.SIGTERM:  # all is saved, and Ray gets it again: the worker ends, the run moves on
            signal.raise_signal(signal.SIGTERM)
        raise


def _wait_for_lock(lock: Path, request: StopRequest) -> None:
    """Wait until the lock is free, at most ORPHAN_GRACE_SECONDS: a living process may keep it for long."""
    end = time.monotonic() + ORPHAN_GRACE_SECONDS
    while _is_locked(lock) and time.monotonic() < end:
        request.raise_if_requested()
        time.sleep(POLL_SECONDS)


def _is_locked(lock: Path) -> bool:
    try:
        with hold_locks([lock]):
            return False
    except LockedError:
        return True
