"""Preflight: load and prepare every group of a study, and refuse what cannot run before anything is compiled."""

from collections.abc import Sequence
from typing import Any

import jax

from da_bench import models, pretrained
from da_bench.core.config import UserError
from da_bench.core.distributed import is_distributed
from da_bench.core.types import Task
from da_bench.data.tasks import present, spec
from da_bench.methods import Method
from da_bench.methods.trainer import require_batch_norm
from da_bench.studies.data import load_task
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.studies.planner import PlannedGroup
from da_bench.studies.prepare import PreparedGroup, prepare
from da_bench.studies.records import Records
from da_bench.training.streaming import require_grain


def prepare_study(groups: Sequence[PlannedGroup], records: Records, options: Options) -> list[PreparedGroup]:
    """Load the data of a study and prepare every group that has missing runs.

    Each data set is loaded once, and the prepared groups are the ones that run.

    Args:
        groups: of the plan.
        records: the published runs.
        options: of the study.

    Raises:
        UserError: data or weights are missing or do not fit, existing records were computed from other data, a batch
            is larger than a domain, or the network cannot take the inputs.
    """
    tasks: dict[Any, Task] = {}

    def load(experiment: Experiment) -> Task:
        key = experiment.task, experiment.view, experiment.features, experiment.msda
        if key not in tasks:
            tasks[key] = load_task(experiment, options.data_root)
        return tasks[key]

    for group in groups:
        if group.existing and present(group.example.task, options.data_root):  # records need no data to be reported
            _check_existing(group, load(group.example).fingerprint, records)
    incomplete = [group for group in groups if group.missing]
    for group in incomplete:  # before any image is decoded
        check_weights(group.example)
    prepared = []
    for group in incomplete:
        prepared.append(prepare(group.missing, load(group.example), options))
        check_group(prepared[-1], options)
    return prepared


def _check_existing(group: PlannedGroup, fingerprint: str, records: Records) -> None:
    """Refuse records that were computed from other data than there are now."""
    outdated = [record.id for record in group.existing if record.environment["data"] != fingerprint]
    if outdated:
        raise UserError(
            f"'{group.example.task}' is not the data that {len(outdated)} of its records were computed from, such as "
            f"'{records.folder / outdated[0]}': its files have changed; give another results folder, or remove these"
        )


def check_weights(experiment: Experiment) -> None:
    """Raise UserError where the network does not fit the weights that it starts from, or the view differs."""
    if isinstance(experiment.method, Method):
        # the trunk does not depend on the number of classes
        pretrained.check_network(experiment.network.clone(classes=1), experiment.input_transform)


def check_group(group: PreparedGroup, options: Options) -> None:
    """Refuse a group that cannot run.

    Raises:
        UserError: a batch is larger than a domain or does not divide over the devices, the network cannot take the
            inputs, or the data must be streamed and cannot be.
    """
    if group.data is None:
        return
    batch_size = group.example.training.batch_size
    _check_devices(batch_size, options)
    lengths = {"labelled training": len(group.data.source_rows), "target training": len(group.data.target_rows)}
    for split, rows in lengths.items():
        if (batch_size or 0) > rows:
            raise UserError(
                f"Training.batch_size = {batch_size} is more than the {rows} rows of the {split} split of "
                f"{group.task.name}; give at most {rows}, or None for all rows"
            )
    _check_network(group)
    if group.streamed:
        _check_streaming(group, options)
    if group.reverse and is_distributed():
        raise UserError("Options.reverse: reverse learners are trained by one process; leave --distributed out")


def _check_devices(batch_size: int | None, options: Options) -> None:
    per_run, available = options.devices_per_run, len(jax.devices())
    if not options.isolates and per_run > available:  # an isolated run's process checks its own devices
        raise UserError(f"Options.devices_per_run = {per_run} is more than the {available} devices that there are")
    if per_run > 1 and (batch_size is None or batch_size % per_run):
        raise UserError(f"Training.batch_size = {batch_size} must divide by Options.devices_per_run = {per_run}")


def _check_network(group: PreparedGroup) -> None:
    shape = group.example_inputs.shape[1:]
    try:
        _, stats = group.variable_shapes
    except Exception as error:  # networks raise many kinds of errors for unsupported shapes
        raise UserError(
            f"model '{models.describe(group.model)['name']}' cannot take the inputs of {group.task.name}, of shape "
            f"{shape}: {str(error).splitlines()[0]}; the task's own network is "
            f"'{spec(group.example.task).model}'"
        ) from error
    method = group.example.method
    if isinstance(method, Method) and method.metadata.needs_batch_norm:
        require_batch_norm(type(method).__name__, stats)


def _check_streaming(group: PreparedGroup, options: Options) -> None:
    if group.reverse:
        raise UserError(
            "Options.reverse: reverse learners need data that the devices hold, and these are larger than "
            f"Options.resident_gib = {options.resident_gib:g}: raise it, or leave reverse out"
        )
    if is_distributed():
        raise UserError("data larger than Options.resident_gib are streamed by one process: raise it, or start one")
    require_grain()
