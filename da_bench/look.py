"""A closer look at one run on record: what needs its data or its network again, not its record alone."""

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from da_bench import evaluate
from da_bench.data.tasks import load
from da_bench.execute import predictions_of
from da_bench.experiment import Experiment, from_config
from da_bench.job import Options
from da_bench.methods import Method
from da_bench.methods.source_only import SourceOnly
from da_bench.records import Record, Records
from da_bench.report.plots_of_runs import Cloud, Embedding, plot_confusion, plot_features, require
from da_bench.report.rows import check_rule
from da_bench.settings import UserError
from da_bench.types import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion(results: Path, run_id: str, data_root: Path | None = None, rule: str = "last") -> "Figure":
    """The confusion matrix of a run on record: its predictions against the labels of the target's test split.

    Raises:
        UserError: no such run, one without predictions, an unknown rule, or data that are not those of the record.
    """
    check_rule(rule)
    record = find(results, run_id)
    chosen = record.result["rules"].get(rule)
    if chosen is None:
        raise UserError(f"run {record.id} has nothing by the rule '{rule}': it {_has(record)}")
    task = _task(record, data_root)
    predicted = Records(results).predictions(record.id)["target_test"][chosen["evaluation"]]
    return plot_confusion(record, evaluate.confusion(predicted, task.target.test.labels, len(task.classes)), rule)


def features(results: Path, run_id: str, data_root: Path | None = None, embedding: Embedding = "tsne") -> "Figure":
    """Maps of the features of both domains before adaptation, by source only with the same seed, and after.

    Both runs are made again from the record's config, which takes their time; nothing is written but in a temporary
    folder. Of a run of source only there is the one map.

    Raises:
        UserError: the embedding's package is not installed; no such run, a shallow method, which has no features, or
            data that are not those of the record.
    """
    require(embedding)
    record = find(results, run_id)
    after = from_config(record.config)
    if not isinstance(after.method, Method):
        raise UserError(f"run {record.id} is of {after.method.name}, a shallow method, which has no features to draw")
    task = _task(record, data_root)
    before = dataclasses.replace(after, method=SourceOnly())
    clouds, states = {}, []
    for name, one in {"before: source only": before, f"after: {after.method.name}": after}.items():
        if one.id == after.id and name.startswith("before"):
            continue
        clouds[name], state = _cloud(one, task, data_root)
        states.append(state)
    return plot_features(record, clouds, embedding, states[-1] == record.result["state"])


def find(results: Path, run_id: str) -> Record:
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
    task = load(record.config["task"], data_root, from_config(record.config).view)
    if task.fingerprint != record.environment["data"]:
        raise UserError(f"'{task.name}' is not what run {record.id} was made of: its files have changed")
    return task


def _cloud(experiment: Experiment, task: Task, data_root: Path | None) -> tuple[Cloud, str | None]:
    with tempfile.TemporaryDirectory() as folder:
        made = predictions_of(experiment, task, Options(results=Path(folder), data_root=data_root, progress="none"))
    tests = [np.asarray(made.features[name]) for name in ("source_test", "target_test")]
    labels = [np.asarray(domain.test.labels) for domain in (task.source, task.target)]
    return Cloud(tests[0], tests[1], labels[0], labels[1]), made.state
