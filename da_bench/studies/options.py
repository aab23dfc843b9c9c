"""Options of a study: where and how its runs are computed. They do not change the results."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from da_bench.core.config import Count, NonNegative, Positive, UserError, config_dataclass
from da_bench.core.progress import Mode

ISOLATE_DISTRIBUTED_CONFLICT = (
    'Options.isolate and Options.executor "ray" give every run its own process, and --distributed lets several '
    "processes compute it together: leave one of the two out"
)


@config_dataclass
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
        if self.timeout and not self.isolates:
            raise UserError("Options.timeout needs isolate: only a run in its own process can be stopped")

    @property
    def isolates(self) -> bool:
        """Whether every run gets its own process."""
        return self.isolate or self.executor == "ray"

    def reverses(self, method: str) -> bool:
        """Whether `reverse` asks for reverse learners of a method's runs."""
        return self.reverse if isinstance(self.reverse, bool) else method in self.reverse

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of runs in progress."""
        return self.results / "checkpoints"


DEFAULTS = Options()
