"""A closer look at runs on record: what needs their data or their networks again, not the records alone."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Domain, Task
from da_bench.evaluation import metrics as evaluate
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
from da_bench.studies.experiment import Experiment
from da_bench.studies.experiment_files import from_config
from da_bench.studies.options import Options
from da_bench.studies.records import Record, Records
from da_bench.studies.study import predict_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 200  # points of a decision boundary's grid along either axis


def confusion(results: Path, run_id: str, data_root: Path | None = None, rule: str = "last") -> "Figure":
    """The confusion matrix of a run on record: its predictions against the labels of the target's test split.

    Raises:
        UserError: no such run, one without predictions, an unknown rule, or data that are not those of the record.
    """
    check_rule(rule)
    record = find_record(results, run_id)
    chosen = record.result["rules"].get(rule)
    if chosen is None:
        raise UserError(f"run {record.id} has nothing by the rule '{rule}': it {_has(record)}")
    task = _task(record, data_root)
    predicted = Records(results).predictions(record.id)["target_test"][chosen["evaluation"]]
    return plot_confusion(
        record, evaluate.confusion_matrix(predicted, task.target.test.labels, len(task.classes)), rule
    )


def features(results: Path, run_id: str, data_root: Path | None = None, embedding: Embedding = "tsne") -> "Figure":
    """Maps of the features of both domains before adaptation, by source only with the same seed, and after.

    Both runs are made again from the record's config, which takes their time; nothing is written but in a temporary
    folder. Of a run of source only there is the one map.

    Raises:
        UserError: the embedding's package is not installed; no such run, a classical method, which has no features, or
            data that are not those of the record.
    """
    require_package(embedding)
    record = find_record(results, run_id)
    task = _task(record, data_root)
    made = {name: _again(one, task, data_root) for name, one in _before_and_after(record).items()}
    clouds = {name: _cloud(task, one) for name, one in made.items()}
    return plot_features(record, clouds, embedding, _same(made, record))


def boundaries(results: Path, run_id: str, data_root: Path | None = None) -> "Figure":
    """What class the network of a run gives to each point of the plane, before adaptation and after; of inputs [n, 2].

    Both runs are made again, as by `features`.

    Raises:
        UserError: inputs that are no points of a plane; no such run, a classical method, or data that are not those of
            the record.
    """
    record = find_record(results, run_id)
    task = _task(record, data_root)
    if task.target.test.inputs.shape[1:] != (2,):
        raise UserError(f"the inputs of '{task.name}' are no points of a plane: no boundary of them can be drawn")
    axes = _axes(np.concatenate([task.source.test.inputs, task.target.test.inputs]))
    asked = _asking(task, axes)
    made = {name: _again(one, asked, data_root) for name, one in _before_and_after(record).items()}
    planes = {name: _plane(task, axes, one) for name, one in made.items()}
    return plot_boundaries(record, planes, _same(made, record))


def distances(
    records: Sequence[Record], method: str, reference: str = "source_only", data_root: Path | None = None
) -> "Figure":
    """Proxy A-distances of a method's features against those of the inputs, and against those of another's features.

    One point a pair of domains, the mean over seeds, as in Ganin et al. (JMLR 2016), Figure 3. method, reference: of
    records that have features.

    Raises:
        UserError: there is no pair with both methods; data that are missing or not those of the records.
    """
    groups = group_by_cell(one for one in records if one.result["rules"])  # the others have no features
    tasks = [task for name, task in groups if name == method and (reference, task) in groups]
    if not tasks:
        raise UserError(f"no pair of domains has records of both {method} and {reference}: nothing to compare")
    of = {name: {task: _a_distance(groups[name, task]) for task in tasks} for name in (method, reference)}
    inputs = {task: _apart(_task(groups[method, task][0], data_root)) for task in tasks}
    drawn = [one for name in of for task in tasks for one in groups[name, task]]
    return plot_distances(drawn, method, of[method], {"inputs": inputs, f"features of {reference}": of[reference]})


def _a_distance(records: Sequence[Record]) -> float:
    return float(np.mean([one.result["proxy_a_distance"] for one in records]))


def _apart(task: Task) -> float:
    """The proxy A-distance of the test inputs themselves, as of a run's features."""
    source, target = (np.asarray(domain.test.inputs[:]) for domain in (task.source, task.target))
    return proxy_a_distance(source.reshape(len(source), -1), target.reshape(len(target), -1))


def find_record(results: Path, run_id: str) -> Record:
    """The record whose id begins so.

    Raises:
        UserError: there is none, or more than one, or it left no result.
    """
    store = Records(results)
    ids = sorted(path.name for path in store.folder.glob(f"{run_id}*")) if run_id.isalnum() else []
    if len(ids) != 1:
        raise UserError(f"{len(ids)} runs in {store.folder} begin with '{run_id}': give the name of one of its folders")
    record = store.read(ids[0])
    if not record.result["rules"]:
        raise UserError(f"run {record.id} {_has(record)}: there is nothing to draw")
    return record


def _has(record: Record) -> str:
    there = ", ".join(record.result["rules"])
    return f"has results by {there}" if there else f"was {record.result['status']}"


def _task(record: Record, data_root: Path | None) -> Task:
    task = load_task(from_config(record.config), data_root)
    if task.fingerprint != record.environment["data"]:
        raise UserError(f"'{task.name}' is not what run {record.id} was made of: its files have changed")
    return task


def _before_and_after(record: Record) -> dict[str, Experiment]:
    """The run of a record, and before it, if that is another one, that of source only with the same seed."""
    after = from_config(record.config)
    if not isinstance(after.method, Method):
        raise UserError(f"run {record.id} is of {after.method.name}, a classical method, which has no features to draw")
    before, named = dataclasses.replace(after, method=SourceOnly()), {f"after: {after.method.name}": after}
    return named if before.id == after.id else {"before: source only": before, **named}


def _again(experiment: Experiment, task: Task, data_root: Path | None) -> RunOutput:
    with tempfile.TemporaryDirectory() as folder:
        options = Options(results=Path(folder), data_root=data_root, progress="none")
        return predict_run(experiment, task, options)


def _same(made: dict[str, RunOutput], record: Record) -> bool:
    """Whether the last of the runs made again ended in the bits of its record."""
    return list(made.values())[-1].state == record.result["state"]


def _cloud(task: Task, made: RunOutput) -> Cloud:
    tests = [np.asarray(made.features[name]) for name in ("source_test", "target_test")]
    labels = [np.asarray(domain.test.labels) for domain in (task.source, task.target)]
    return Cloud(tests[0], tests[1], labels[0], labels[1])


def _axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a grid that holds all points [n, 2] and a tenth of their range around them."""
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x, y = np.linspace(low, high, SIDE, dtype=np.float32).T
    return x, y


def _asking(task: Task, axes: tuple[np.ndarray, np.ndarray]) -> Task:
    """The task, which trains as before, with the points of a grid in place of the target's test split."""
    x, y = np.meshgrid(*axes)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    grid = Domain(points, np.zeros(len(points), np.int32))
    return dataclasses.replace(task, target=task.target._replace(test=grid))


def _plane(task: Task, axes: tuple[np.ndarray, np.ndarray], made: RunOutput) -> Plane:
    classes = made.logits["target_test"][-1].argmax(axis=1).reshape(SIDE, SIDE)
    return Plane(*axes, classes, task.source.train, task.target.train.inputs)
