"""The plan of a study: which runs are missing, and which of them are one compiled program."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax

from da_bench.core.config import UserError
from da_bench.core.locks import LockedError
from da_bench.methods import Method
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.studies.records import Record, Records


class PlannedGroup(NamedTuple):
    """The experiments of one compiled program.

    Attributes:
        existing: records of its runs, including failed ones that are computed again.
        missing: experiments to compute, in the order of the study.
        example: any of its experiments, for what all of them share.
    """

    existing: list[Record]
    missing: list[Experiment]
    example: Experiment


class Plan(NamedTuple):
    """What a study computes and what it reports.

    Attributes:
        ids: of all its runs, in the order of its experiments.
        completed: records that need no new run, by id.
        groups: of this process's share of the study.
    """

    ids: list[str]
    completed: dict[str, Record]
    groups: list[PlannedGroup]

    def collect(self, records: Records) -> list[Record]:
        """Return the records that exist now, in the order of the study; the completed ones are not read again.

        Raises:
            LockedError: there is none, as another process computes all of them.
        """
        existing = self.completed | records.read_existing(run_id for run_id in self.ids if run_id not in self.completed)
        if not existing:
            raise LockedError(
                f"none of these runs is on record in '{records.folder}' yet: another process is computing them"
            )
        return [existing[run_id] for run_id in self.ids if run_id in existing]


def plan_study(experiments: Sequence[Experiment], records: Records, options: Options) -> Plan:
    """Find the runs that are missing and group them by compiled program.

    Args:
        experiments: of the study; equal ones are computed once.
        records: the published runs.
        options: the shard, and whether failed runs are computed again.

    Raises:
        UserError: there is no experiment, or a record cannot be read.
    """
    requested = {experiment.id: experiment for experiment in experiments}
    if not requested:
        raise UserError("no experiments to run: give at least one method, task and seed")
    existing = records.read_existing(requested)
    completed = {
        run_id: record
        for run_id, record in existing.items()
        if not (options.retry and record.result["status"] == "failed")
    }
    groups = [
        PlannedGroup(
            existing=[existing[experiment.id] for experiment in group if experiment.id in existing],
            missing=[experiment for experiment in group if experiment.id not in completed],
            example=group[0],
        )
        for group in group_by_program(select_shard(list(requested.values()), *options.shard))
    ]
    return Plan(list(requested), completed, groups)


def group_by_program(experiments: Iterable[Experiment]) -> list[list[Experiment]]:
    """Group experiments that differ only in seeds and float hyper-parameters: each group is one compiled program.

    A classical method's experiments are groups of their own.
    """
    groups: dict[Any, list[Experiment]] = {}
    for experiment in experiments:
        data_key = (
            experiment.task,
            experiment.labels_from,
            experiment.shots,
            experiment.view,
            experiment.features,
            experiment.msda,  # the source domains of multi-source adaptation
        )
        if isinstance(experiment.method, Method):
            structure = jax.tree.structure((experiment.method, experiment.training))
            program: Any = (experiment.network, structure)
        else:
            program = experiment.id
        groups.setdefault((data_key, program), []).append(experiment)
    return list(groups.values())


def select_shard(experiments: list[Experiment], index: int, count: int) -> list[Experiment]:
    """Return one of `count` shares of equal size, which cut as few groups as possible.

    Args:
        experiments: of the whole study.
        index: of the share, from 1 to `count`.
        count: number of shares.
    """
    ordered = [experiment for group in group_by_program(experiments) for experiment in group]
    bounds = [len(ordered) * i // count for i in range(count + 1)]
    return ordered[bounds[index - 1] : bounds[index]]
