"""A study: compute the runs of a list of experiments that are not yet on record, and report all of them.

plan (`planner`) -> prepare (`preflight`, `prepare`) -> fit (`fit`, `reverse_validation`) -> score (`score`) -> publish
(`records`) -> `Results`. The executors run the middle part: in this process, in one process a run, or on a cluster.

Within fit: `fit.train_together` -> `InMemory`, which compiles -> `loop.fit` -> `InMemory.advance`, which launches ->
`step.advance_run` -> `Method.step`.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from da_bench.core.config import UserError
from da_bench.core.distributed import barrier, is_distributed, is_primary
from da_bench.core.progress import MODE, ProgressReporter
from da_bench.core.shutdown import stop_on_signal
from da_bench.core.types import Task
from da_bench.evaluation.probes import RunOutput
from da_bench.methods import Method
from da_bench.studies.context import REVERSE, StudyContext
from da_bench.studies.executors import in_process, ray, subprocess
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import DEFAULTS, ISOLATE_DISTRIBUTED_CONFLICT, Options
from da_bench.studies.planner import plan_study
from da_bench.studies.preflight import check_group, check_weights, prepare_study
from da_bench.studies.prepare import PreparedGroup, prepare
from da_bench.studies.records import Records
from da_bench.studies.results import Results
from da_bench.training.checkpoints import remove_published

EXECUTORS = {"here": in_process.run_groups, "isolate": subprocess.run_groups, "ray": ray.run_groups}


def run(method: Any, task: str, seeds: int = 5, options: Options = DEFAULTS, **settings: Any) -> Results:
    """Run one method, or each of a list of methods, on a task with seeds 0 .. `seeds` - 1.

    Args:
        method: a method, or a sequence of methods.
        task: name of a domain pair.
        seeds: number of seeds.
        options: where and how the runs are computed.
        settings: further fields of `Experiment`: `training`, `model`, `view`, `labels_from`, ...

    Raises:
        UserError: a setting is wrong, the task is unknown, `seeds` is below 1, or data are missing or do not fit.
    """
    methods = method if isinstance(method, Sequence) else [method]
    return study(over_seeds((Experiment(task=task, method=each, **settings) for each in methods), seeds), options)


def over_seeds(experiments: Iterable[Experiment], seeds: int) -> list[Experiment]:
    """Repeat each experiment with seeds 0 .. `seeds` - 1: the same for every method, so that comparisons are paired."""
    if seeds < 1:
        raise UserError(f"seeds = {seeds}: at least 1 is needed, 5 for a result that can be compared")
    return [dataclasses.replace(experiment, seed=seed) for experiment in experiments for seed in range(seeds)]


def study(experiments: Sequence[Experiment], options: Options = DEFAULTS) -> Results:
    """Compute every run that has no record yet, one compiled program a group; return all records.

    An interrupted or killed study continues where it was when it is called again. Several processes may work on one
    folder: each leaves alone what another computes, and reports what exists when it is done.

    Args:
        experiments: the runs; equal ones are computed once.
        options: where and how they are computed.

    Raises:
        UserError: before anything is compiled or written, for data that are missing or do not fit, or where another
            process computes all runs, or several processes are to isolate runs.
        StorageError: a folder cannot be written to.
        Stopped: by Ctrl-C or SIGTERM; the progress is saved.
    """
    if options.isolates and is_distributed():
        raise UserError(ISOLATE_DISTRIBUTED_CONFLICT)
    records = Records(options.results)
    plan = plan_study(experiments, records, options)
    mode = MODE.set(options.progress if is_primary() else "none")
    try:
        groups = prepare_study(plan.groups, records, options)
        barrier()  # every process has read the records before the primary one writes
        if is_primary():
            _clean_up(records, options)
        if groups:
            execute = EXECUTORS["isolate" if options.isolate and options.executor == "here" else options.executor]
            with _started(groups, records, options) as context:
                # groups that another process holds are tried once more: it may be done with them by then
                for group in execute(execute(groups, context), context):
                    context.progress.note(f"{group.label}: left to the process that is computing them")
            if is_primary():
                _clean_up(records, options)  # checkpoints of groups that were published in parts
    finally:
        MODE.reset(mode)
    return Results(plan.collect(records), options.results)


@contextlib.contextmanager
def _started(groups: list[PreparedGroup], records: Records, options: Options) -> Iterator[StudyContext]:
    """The context of a study while its groups run."""
    runs, steps = sum(len(group.experiments) for group in groups), sum(map(_total_steps, groups))
    # Ray is connected first, as it would install its own handler of SIGTERM
    with ray.connected(options), stop_on_signal() as request, ProgressReporter(runs, steps) as progress:
        if is_primary():
            records.prepare()
        yield StudyContext(records, options, progress, request)


def _total_steps(group: PreparedGroup) -> int:
    if not isinstance(group.example.method, Method):
        return 0
    return len(group.experiments) * group.example.training.steps * (2 if group.reverse else 1)


def _clean_up(records: Records, options: Options) -> None:
    """Remove checkpoints of published runs, and the locks and drafts of killed processes."""
    for folder in (options.checkpoints / REVERSE, options.checkpoints):
        remove_published(folder, records.has)
    records.clean_all()


def predict_run(experiment: Experiment, task: Task, options: Options) -> RunOutput:
    """Train the network of one run here and now; its record is neither read nor written.

    Args:
        experiment: whose method trains a network.
        task: its data.
        options: where and how it is computed.

    Raises:
        UserError: as `study`.
        Stopped: by Ctrl-C or SIGTERM.
    """
    check_weights(experiment)
    group = prepare([experiment], task, options)
    check_group(group, options)
    mode = MODE.set(options.progress)
    try:
        with stop_on_signal() as request, ProgressReporter(1, experiment.training.steps) as progress:
            context = StudyContext(Records(options.results), options, progress, request)
            (finished,) = in_process.fit_group(group, context)
    finally:
        MODE.reset(mode)
    return finished.output
