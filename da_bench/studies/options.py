"""What a study is made with: the options that the user gives, and the job that its parts share."""

import contextlib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from da_bench.core.config import Count, NonNegative, Positive, UserError, setting
from da_bench.core.distributed import is_primary
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.progress import Mode, Sweep
from da_bench.core.shutdown import Request
from da_bench.core.types import Task
from da_bench.data.tasks import load
from da_bench.data.transforms import View
from da_bench.pretrained import features
from da_bench.pretrained import representations as msda
from da_bench.pretrained.features import FeatureExtractor
from da_bench.studies.experiment import Experiment
from da_bench.studies.records import Records

APART_TOGETHER = (
    'Options.isolate and Options.executor "ray" give every run a process of its own, and --distributed lets several '
    "processes make it together: leave one of the two out"
)


@setting
class Options:
    """Where and how a study runs.

    No option changes a result, except for the rounding of sums over several devices.

    Args:
        results: folder of records, tables and plots.
        data_root: folder of the user's data sets; default: the variable DA_BENCH_DATA.
        at_once: number of runs computed side by side on a device; default: what suits the network and the device.
        devices_per_run: number of devices over which the rows of a run's batches are spread, for networks that are too
            large for one device.
        resident_gib: GiB of stored inputs up to which a task's data stay in the memory of every device. Larger data
            are streamed from disk, run by run; pip install "da-bench[stream]".
        workers: threads that read ahead of a streamed run; 0: none.
        wandb: mirror each record to Weights & Biases.
        progress: "line" shows a live line, "json" prints JSON lines, "none" prints nothing.
        checkpoint_seconds: least time between two checkpoints of unfinished runs, in seconds.
        shard: (i, n) makes only the i-th of n equal shares of the runs; i is from 1 to n.
        isolate: make every run in a process of its own, so that a crash is recorded and the other runs go on.
        timeout: seconds that an isolated run may take; default: no limit.
        retry: repeat failed runs.
        executor: "here", in this process; or "ray", every run isolated on a node of the running Ray cluster, whose
            nodes all see the folders of results and data at the same path; pip install "da-bench[ray]".
        run_cpus: CPUs that a run reserves on a node of the Ray cluster.
        run_gpus: GPUs that a run reserves on a node of the Ray cluster; 0.5 for two runs on each.
        validators: "quick", those that need only predictions; or "all", also those that compare features, and the
            measures of transferability. The features of some rows are then kept at every evaluation, about half a
            second a run. A run on record is not scored again.
        reverse: train each run's reverse model as well, without target labels, for the rule `reverse_validation`: as
            long again. A tuple names the methods whose runs are reversed.
    """

    results: Path = Path("results")
    data_root: Path | None = None
    at_once: Count | None = None
    devices_per_run: Count = 1
    resident_gib: NonNegative = 4.0
    workers: Annotated[int, Field(ge=0)] = 2
    wandb: Literal["off", "offline", "online"] = "off"
    progress: Mode = "line"
    checkpoint_seconds: NonNegative = 30.0
    shard: tuple[Count, Count] = (1, 1)
    isolate: bool = False
    timeout: Positive | None = None
    retry: bool = False
    executor: Literal["here", "ray"] = "here"
    run_cpus: NonNegative = 1.0
    run_gpus: NonNegative = 0.0
    validators: Literal["quick", "all"] = "quick"
    reverse: bool | tuple[str, ...] = False

    def __post_init__(self) -> None:
        if self.shard[0] > self.shard[1]:
            raise UserError(f"Options.shard = {self.shard}: the first number goes from 1 to the second")
        if self.timeout and not self.apart:
            raise UserError("Options.timeout needs isolate: only a process of its own can be ended")

    @property
    def apart(self) -> bool:
        """Whether every run is made in a process of its own."""
        return self.isolate or self.executor == "ray"

    def goes_back(self, method: str) -> bool:
        """Whether `reverse` asks for the reverse learners of a method's runs."""
        return self.reverse if isinstance(self.reverse, bool) else method in self.reverse

    @property
    def checkpoints(self) -> Path:
        """Folder of what is being made."""
        return self.results / "checkpoints"


DEFAULTS = Options()


class Job(NamedTuple):
    """What the groups of a study share. ray: the module, where it is to place the runs."""

    store: Records
    options: Options
    sweep: Sweep
    request: Request
    ray: Any = None


def task_of(experiment: Experiment, options: Options) -> Task:
    """The data of a run; features and representations are made here where they are not in the store yet."""
    task = load(experiment.task, options.data_root, experiment.view)
    if experiment.features:
        assert experiment.view is not None
        task = features.extract_features(task, FeatureExtractor(experiment.features, experiment.view))
    return msda.represent(task, experiment.msda) if experiment.msda else task


def marked_task(experiment: Experiment, data_root: Path | None) -> Task:
    """The data of a run for what looks at labels alone: with the fingerprint of its inputs, made or not."""
    return marked(
        load(experiment.task, data_root, experiment.view), experiment.view, experiment.features, experiment.msda
    )


def marked(task: Task, view: View | None, weights: str | None, denoised: msda.Msda | None) -> Task:
    """A task of its own inputs, with the fingerprint of the features and of the representation made of them."""
    if weights and view:
        task = features.with_features_origin(task, FeatureExtractor(weights, view))
    return msda.with_representation_origin(task, denoised) if denoised else task


def label(group: list[Experiment]) -> str:
    """What is said of runs that are made together."""
    return f"{group[0].task}: {group[0].method.name} x {len(group)}"


def held(group: list[Experiment], job: Job, stack: contextlib.ExitStack) -> bool:
    """Whether the locks of a group's runs are held until the stack ends; the lead's business.

    Failed runs are forgotten only here: without the lock, one that another process has just made would be.
    """
    if not is_primary():
        return True
    try:
        stack.enter_context(hold_locks([job.store.lock(one.id) for one in group]))
    except LockedError:
        return False
    for run_id in job.store.failures(one.id for one in group) if job.options.retry else []:
        job.store.forget(run_id)
    return True
