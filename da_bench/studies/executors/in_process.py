"""Groups of runs in this process, each group as one compiled program."""

import contextlib
from collections.abc import Iterator

from da_bench.core.distributed import barrier, broadcast, is_primary
from da_bench.studies.context import REVERSE, StudyContext
from da_bench.studies.fit import FinishedRun, fit_classical, fit_in_memory, fit_streaming
from da_bench.studies.prepare import PreparedGroup
from da_bench.studies.reverse_validation import fit_classical_with_reverse, fit_with_reverse
from da_bench.studies.score import ScoredRun, score_run, skipped_run
from da_bench.studies.wandb_mirror import mirror


def run_groups(groups: list[PreparedGroup], context: StudyContext) -> list[PreparedGroup]:
    """Fit, score and publish the missing runs of every group.

    Returns:
        The groups that were left because another process is computing some of their runs.

    Raises:
        Stopped: on request, after the progress was saved.
    """
    left, records, progress = [], context.records, context.progress
    for group in groups:
        context.request.raise_if_requested()
        with contextlib.ExitStack() as stack:
            if not broadcast(context.try_lock_runs(group.ids, stack)):
                left.append(group)
                continue
            missing = group.select([experiment for experiment in group.experiments if not records.has(experiment.id)])
            barrier()  # every process has read the records
            if missing.experiments:
                progress.start_group(missing.label, len(missing.experiments))
                run_group(missing, context)
            progress.finish_runs(len(group.experiments), len(records.failures(group.ids)))
            barrier()  # the primary process has published
    return left


def run_group(group: PreparedGroup, context: StudyContext) -> None:
    """Fit, score and publish the runs of a group whose locks are held.

    Streamed and classical runs are published as soon as each is done.
    """
    if group.skip_reason is not None:
        for experiment in group.experiments:
            publish(skipped_run(experiment, group.task, group.skip_reason), context)
        return
    for run in fit_group(group, context):
        if is_primary():
            publish(score_run(run, group), context)
    if is_primary():
        for part in (REVERSE, ""):
            context.checkpoints(group.ids, group.task.fingerprint, part).clear()


def publish(run: ScoredRun, context: StudyContext) -> None:
    """Publish a run, and mirror it where the options ask for that; the primary process's task."""
    if not is_primary():
        return
    options = context.options
    context.records.clean(run.record.id)
    context.records.publish(*run)
    if options.wandb != "off" and (problem := mirror(run.record, options.results, options.wandb)):
        context.progress.note(f"warning: {problem}")


def fit_group(group: PreparedGroup, context: StudyContext) -> Iterator[FinishedRun]:
    """Fit all runs of a group in the way that its method, its data and the options ask for.

    Classical methods run in the primary process alone.
    """
    if group.data is None:
        fit_alone = fit_classical_with_reverse if group.reverse else fit_classical
        return fit_alone(group) if is_primary() else iter(())
    if group.reverse:
        return fit_with_reverse(group, context)
    return (fit_streaming if group.streamed else fit_in_memory)(group, context)
