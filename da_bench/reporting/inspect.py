"""Figures of recorded runs that need their data or their networks again, not only the records."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Domain, Task
from da_bench.evaluation.metrics import confusion_matrix
from da_bench.evaluation.probes import RunOutput
from da_bench.evaluation.transferability import proxy_a_distance
from da_bench.methods import Method
from da_bench.methods.source_only import SourceOnly
from da_bench.reporting.plots.distances import plot_distances
from da_bench.reporting.plots.single_run import (
    Cloud,
    Embedding,
    Plane,
    plot_boundaries,
    plot_confusion,
    plot_features,
    require_package,
)
from da_bench.reporting.reproduction.selected_runs import group_by_cell
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.data import load_task
from da_bench.studies.experiment_files import from_config
from da_bench.studies.options import Options
from da_bench.studies.records import Record, Records
from da_bench.studies.study import predict_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID_SIDE = 200  # points of a decision boundary's grid along each axis


def confusion(results: Path, run_id: str, data_root: Path | None = None, rule: str = "last") -> "Figure":
    """Confusion matrix of a run: its stored predictions against the labels of the target's test split.

    Args:
        results: results folder.
        run_id: id of the run, or the beginning of it.
        data_root: folder of data sets; default: the variable DA_BENCH_DATA.
        rule: selection rule of the checkpoint.

    Raises:
        UserError: no such run, a run without predictions, an unknown rule, or data that are not those of the record.
    """
    check_rule(rule)
    record = find_record(results, run_id)
    selected = record.result["rules"].get(rule)
    if selected is None:
        available = ", ".join(record.result["rules"])
        raise UserError(f"run {record.id} has no result by the rule '{rule}', only by {available}")
    task = _load_recorded_task(record, data_root)
    predicted = Records(results).predictions(record.id)["target_test"][selected["evaluation"]]
    return plot_confusion(record, confusion_matrix(predicted, task.target.test.labels, len(task.classes)), rule)


def features(results: Path, run_id: str, data_root: Path | None = None, embedding: Embedding = "tsne") -> "Figure":
    """Maps of both domains' features before adaptation, by source only with the same seed, and after.

    Both runs are repeated from the record's config, which takes their time. Nothing is written except in a temporary
    folder. A run of source only has a single map.

    Args:
        results: results folder.
        run_id: id of the run, or the beginning of it.
        data_root: folder of data sets; default: the variable DA_BENCH_DATA.
        embedding: how features are mapped to the plane.

    Raises:
        UserError: the embedding's package is not installed, no such run, a classical method, which has no features, or
            data that are not those of the record.
    """
    require_package(embedding)
    record = find_record(results, run_id)
    task = _load_recorded_task(record, data_root)
    outputs = _repeat_runs(record, task, data_root)
    clouds = {name: _feature_cloud(task, output) for name, output in outputs.items()}
    return plot_features(record, clouds, embedding, _is_identical(outputs, record))


def boundaries(results: Path, run_id: str, data_root: Path | None = None) -> "Figure":
    """Class that a run's network predicts at each point of the plane, before adaptation and after.

    Both runs are repeated, as by `features`. The inputs have to be points [n, 2].

    Args:
        results: results folder.
        run_id: id of the run, or the beginning of it.
        data_root: folder of data sets; default: the variable DA_BENCH_DATA.

    Raises:
        UserError: inputs that are not points of a plane, no such run, a classical method, or data that are not those
            of the record.
    """
    record = find_record(results, run_id)
    task = _load_recorded_task(record, data_root)
    if task.target.test.inputs.shape[1:] != (2,):
        raise UserError(f"decision boundaries need inputs of shape [n, 2]; those of '{task.name}' have another shape")
    axes = _grid_axes(np.concatenate([task.source.test.inputs, task.target.test.inputs]))
    outputs = _repeat_runs(record, _with_grid_as_test(task, axes), data_root)
    planes = {}
    for name, output in outputs.items():
        classes = output.logits["target_test"][-1].argmax(axis=1).reshape(GRID_SIDE, GRID_SIDE)
        planes[name] = Plane(*axes, classes, task.source.train, task.target.train.inputs)
    return plot_boundaries(record, planes, _is_identical(outputs, record))


def distances(
    records: Sequence[Record], method: str, reference: str = "source_only", data_root: Path | None = None
) -> "Figure":
    """Proxy A-distances of a method's features against those of the inputs and of a reference's features.

    One point for each pair of domains, mean over seeds, as in Ganin et al. (JMLR 2016), Figure 3.

    Args:
        records: records of one or several tasks.
        method: method whose features are shown.
        reference: method whose features they are compared with.
        data_root: folder of data sets; default: the variable DA_BENCH_DATA.

    Raises:
        UserError: no pair has both methods; data that are missing or are not those of the records.
    """
    groups = group_by_cell(record for record in records if record.result["rules"])  # others have no features
    tasks = [task for name, task in groups if name == method and (reference, task) in groups]
    if not tasks:
        raise UserError(f"no pair of domains has records of both {method} and {reference}")
    by_method = {name: {task: _mean_a_distance(groups[name, task]) for task in tasks} for name in (method, reference)}
    inputs = {task: _input_a_distance(_load_recorded_task(groups[method, task][0], data_root)) for task in tasks}
    shown = [record for name in by_method for task in tasks for record in groups[name, task]]
    compared = {"inputs": inputs, f"features of {reference}": by_method[reference]}
    return plot_distances(shown, method, by_method[method], compared)


def find_record(results: Path, run_id: str) -> Record:
    """The record whose id begins with `run_id`.

    Raises:
        UserError: there is none, or more than one, or it left no result.
    """
    store = Records(results)
    ids = sorted(path.name for path in store.folder.glob(f"{run_id}*")) if run_id.isalnum() else []
    if len(ids) != 1:
        raise UserError(f"{len(ids)} runs in {store.folder} begin with '{run_id}': give the name of one of its folders")
    record = store.read(ids[0])
    if not record.result["rules"]:
        raise UserError(f"run {record.id} was {record.result['status']} and has no result to plot")
    return record


def _load_recorded_task(record: Record, data_root: Path | None) -> Task:
    """The task of a record; UserError if its data have changed since."""
    task = load_task(from_config(record.config), data_root)
    if task.fingerprint != record.environment["data"]:
        raise UserError(f"the files of '{task.name}' are not those of run {record.id}: they have changed")
    return task


def _repeat_runs(record: Record, task: Task, data_root: Path | None) -> dict[str, RunOutput]:
    """Outputs of source only with the same seed, unless the run is that, and of the run, repeated."""
    after = from_config(record.config)
    if not isinstance(after.method, Method):
        raise UserError(f"run {record.id} is of {after.method.name}, a classical method, which has no features to plot")
    before = dataclasses.replace(after, method=SourceOnly())
    experiments = {} if before.id == after.id else {"before: source only": before}
    experiments[f"after: {after.method.name}"] = after
    outputs = {}
    for name, experiment in experiments.items():
        with tempfile.TemporaryDirectory() as folder:
            options = Options(results=Path(folder), data_root=data_root, progress="none")
            outputs[name] = predict_run(experiment, task, options)
    return outputs


def _is_identical(outputs: dict[str, RunOutput], record: Record) -> bool:
    """Whether the repeated run ended in the same bits as its record."""
    return list(outputs.values())[-1].state == record.result["state"]


def _feature_cloud(task: Task, output: RunOutput) -> Cloud:
    tests = [np.asarray(output.features[name]) for name in ("source_test", "target_test")]
    labels = [np.asarray(domain.test.labels) for domain in (task.source, task.target)]
    return Cloud(tests[0], tests[1], labels[0], labels[1])


def _grid_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes of a grid that covers all points [n, 2] with a margin of a tenth of their range."""
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x, y = np.linspace(low, high, GRID_SIDE, dtype=np.float32).T
    return x, y


def _with_grid_as_test(task: Task, axes: tuple[np.ndarray, np.ndarray]) -> Task:
    """The task with the points of a grid as the target's test split. Training is unchanged."""
    x, y = np.meshgrid(*axes)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    grid = Domain(points, np.zeros(len(points), np.int32))
    return dataclasses.replace(task, target=task.target._replace(test=grid))


def _mean_a_distance(records: Sequence[Record]) -> float:
    return float(np.mean([record.result["proxy_a_distance"] for record in records]))


def _input_a_distance(task: Task) -> float:
    """Proxy A-distance of the test inputs themselves."""
    source, target = (np.asarray(domain.test.inputs[:]) for domain in (task.source, task.target))
    return proxy_a_distance(source.reshape(len(source), -1), target.reshape(len(target), -1))
