"""Recomputes every number of a record that follows from its predictions."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from da_bench.core.types import Array, Task
from da_bench.evaluation.metrics import Accuracies, accuracies_of_classes
from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS, last_argmax
from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.reader import TEST_SPLITS, PredictedRun
from da_bench.reporting.tables.text import single_line
from da_bench.studies.records import Record

TOLERANCE = 1e-9  # for sums in another order
CURVES = ("source_accuracy", "target_accuracy", "source_macro", "target_macro")


def recompute(run: PredictedRun, task: Task) -> tuple[Record, list[Finding]]:
    """Recompute accuracies from the predictions and the task's labels.

    Which evaluation a validator selects follows from its recorded scores. These depend on logits, which no record
    keeps, so they are taken as they are. An evaluation of a diverged run that counted as guessing still does.

    Args:
        run: the run.
        task: its task, with labels.

    Returns:
        The record with recomputed numbers, and a finding if the given record differs from it. A record that cannot
        be of this task is returned as it is.
    """
    if mismatch := _mismatch(run, task):
        return run.record, [Finding("refused", "rows", run.record.id, mismatch)]
    splits = dict(zip(TEST_SPLITS, (task.source.test, task.target.test), strict=True))
    source, target = (_scores(run, name, splits[name].labels, len(task.classes)) for name in TEST_SPLITS)
    curves = {
        "source_accuracy": source.micro.tolist(),
        "target_accuracy": target.micro.tolist(),
        "source_macro": source.macro.tolist(),
        "target_macro": target.macro.tolist(),
    }
    reported = {LAST, ORACLE, *run.record.curves["validators"]}
    rules = {rule: _selected(rule, run.record, source, target) for rule in RULES if rule in reported}
    result = {**run.record.result, "rules": rules}
    recomputed = dataclasses.replace(run.record, curves={**run.record.curves, **curves}, result=result)
    return recomputed, _differences(run.record, recomputed)


def _mismatch(run: PredictedRun, task: Task) -> str | None:
    """Why the record cannot be of this task; None if it can."""
    if run.record.environment["data"] != task.fingerprint:
        return f"its data fingerprint is not that of '{task.name}' here: it was run on other data"
    if list(run.record.result["classes"]) != list(task.classes) or run.record.result["protocol"] != task.protocol:
        return f"its classes or its protocol are not those of '{task.name}'"
    if problem := _curve_problem(run.record, len(run.predictions[TEST_SPLITS[0]])):
        return problem
    for name, split in zip(TEST_SPLITS, (task.source.test, task.target.test), strict=True):
        predictions = run.predictions[name]
        if predictions.shape[1] != len(split.labels):
            return f"{name} has {predictions.shape[1]} predictions for {len(split.labels)} rows"
        if predictions.max() >= len(task.classes):
            return f"{name} predicts class {predictions.max()}, but classes are 0 to {len(task.classes) - 1}"
    return None


def _curve_problem(record: Record, evaluations: int) -> str | None:
    """Which curve does not have one value for each evaluation, or belongs to no known validator."""
    curves = record.curves
    named = {**{name: curves[name] for name in ("step", *CURVES)}, **curves["validators"], **curves["metrics"]}
    if wrong := [name for name, values in named.items() if len(values) != evaluations]:
        return f"curve '{single_line(wrong[0])}' does not have one value for each of {evaluations} evaluations"
    unknown = curves["validators"].keys() - VALIDATORS.keys()
    return f"validator '{single_line(min(unknown))}' is not among `da-bench list validators`" if unknown else None


def _scores(run: PredictedRun, name: str, labels: Array, classes: int) -> Accuracies:
    micro, macro = (run.record.curves[f"{name.removesuffix('_test')}_{kind}"] for kind in ("accuracy", "macro"))
    is_guess = np.isclose([micro, macro], 1 / classes, rtol=0, atol=TOLERANCE).all(axis=0)
    is_finite = ~(is_guess & (run.record.result["status"] == "diverged"))
    return accuracies_of_classes(run.predictions[name], labels, classes, is_finite)


def _selected(rule: str, record: Record, source: Accuracies, target: Accuracies) -> dict[str, Any]:
    """The scores at the evaluation that a rule selects, as result.json holds them."""
    if rule == LAST:
        i = len(target.micro) - 1
    elif rule == ORACLE:
        i = last_argmax(target.micro)
    else:
        i = last_argmax(np.array(record.curves["validators"][rule], np.float64))
    return {
        "evaluation": i,
        "step": record.curves["step"][i],
        "source_accuracy": float(source.micro[i]),
        "source_macro": float(source.macro[i]),
        "target_accuracy": float(target.micro[i]),
        "target_macro": float(target.macro[i]),
        "target_per_class": [float(value) if math.isfinite(value) else None for value in target.per_class[i]],
    }


def _differences(record: Record, recomputed: Record) -> list[Finding]:
    """A finding if a number or a selected evaluation does not follow from the predictions."""
    given, expected = _flat(record), _flat(recomputed)
    wrong = [name for name, value in expected.items() if not _is_close(given.get(name), value)]
    extra = record.result["rules"].keys() - recomputed.result["rules"].keys()
    wrong += [f"rules.{rule}" for rule in extra]
    what = f"{len(wrong)} numbers do not follow from the predictions, the first is {wrong[0]}" if wrong else ""
    return [Finding("refused", "metrics", record.id, what)] if wrong else []


def _flat(record: Record) -> dict[str, Any]:
    """Path -> value of all numbers that predictions determine."""
    curves: Mapping[str, Any] = {f"curves.{name}": record.curves[name] for name in CURVES}
    rules = {
        f"rules.{rule}.{name}": value
        for rule, values in record.result["rules"].items()
        for name, value in values.items()
    }
    return {**curves, **rules}


def _is_close(value: Any, other: Any) -> bool:
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_close, value, other))
    if value is None or other is None:
        return value is other
    return math.isclose(value, other, rel_tol=0, abs_tol=TOLERANCE)
