"""Every number of a record that predictions decide, computed from them again."""

import dataclasses
import math
from typing import Any

import numpy as np

from da_bench.core.types import Task
from da_bench.evaluation.metrics import Accuracies, accuracies_of_classes
from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS, last_argmax
from da_bench.leaderboard.submission.findings import Finding
from da_bench.leaderboard.submission.package import TESTS, Run
from da_bench.reporting.tables.text import single_line
from da_bench.studies.records import Record

EQUAL = 1e-9  # what sums in another order may move
NUMBERS = ("source_accuracy", "target_accuracy", "source_macro", "target_macro")


def recomputed(run: Run, task: Task) -> tuple[Record, list[Finding]]:
    """The record with accuracies from its predictions and the task's labels, and in what the given one differs.

    Which evaluation a validator chose follows from the scores that the record has of it; those rest on logits that no
    record keeps, so they are taken as they are. An evaluation of a diverged run that counted as guessing still does.
    """
    if misfit := _misfit(run, task):
        return run.record, [Finding("refused", "rows", run.record.id, misfit)]
    tests = dict(zip(TESTS, (task.source.test, task.target.test), strict=True))
    source, target = (_scores(run, name, tests[name].labels, len(task.classes)) for name in TESTS)
    curves = {**run.record.curves, **_curves(source, target)}
    rules = {name: _chosen(name, run.record, source, target) for name in _rules(run.record)}
    again = dataclasses.replace(run.record, curves=curves, result={**run.record.result, "rules": rules})
    return again, _differences(run.record, again)


def _misfit(run: Run, task: Task) -> str | None:
    """Why the record cannot be of this task; None where it can."""
    if run.record.environment["data"] != task.fingerprint:
        return f"made of other data than '{task.name}' is here: the fingerprints differ"
    if list(run.record.result["classes"]) != list(task.classes) or run.record.result["protocol"] != task.protocol:
        return f"its classes or its protocol are not those of '{task.name}'"
    tests = zip(TESTS, (task.source.test, task.target.test), strict=True)
    return _uneven(run) or next(
        (said for name, test in tests if (said := _misplaced(run, name, len(test.labels), len(task.classes)))), None
    )


def _uneven(run: Run) -> str | None:
    """Which curve has not one value an evaluation, or is of no known validator."""
    curves, evaluations = run.record.curves, len(run.predictions[TESTS[0]])
    lists = {**{name: curves[name] for name in ("step", *NUMBERS)}, **curves["validators"], **curves["metrics"]}
    if unequal := [name for name, values in lists.items() if len(values) != evaluations]:
        return f"curve '{single_line(unequal[0])}' has not one value for each of {evaluations} evaluations"
    unknown = curves["validators"].keys() - VALIDATORS.keys()
    return f"validator '{single_line(min(unknown))}' is none of `da-bench list validators`" if unknown else None


def _misplaced(run: Run, name: str, rows: int, classes: int) -> str | None:
    """Why predictions are not of a test set of so many rows and classes."""
    found = run.predictions[name]
    if found.shape[1] != rows:
        return f"{name} has {found.shape[1]} predictions for {rows} rows"
    return f"{name} holds class {found.max()}, and there are {classes} from 0" if found.max() >= classes else None


def _scores(run: Run, name: str, labels: Any, classes: int) -> Accuracies:
    micro, macro = (run.record.curves[f"{name.removesuffix('_test')}_{one}"] for one in ("accuracy", "macro"))
    guesses = np.isclose([micro, macro], 1 / classes, rtol=0, atol=EQUAL).all(axis=0)
    healthy = ~(guesses & (run.record.result["status"] == "diverged"))
    return accuracies_of_classes(run.predictions[name], labels, classes, healthy)


def _curves(source: Accuracies, target: Accuracies) -> dict[str, list[float]]:
    return {
        "source_accuracy": source.micro.tolist(),
        "target_accuracy": target.micro.tolist(),
        "source_macro": source.macro.tolist(),
        "target_macro": target.macro.tolist(),
    }


def _rules(record: Record) -> list[str]:
    """The rules that a record reports: those of its validators, and last and oracle always."""
    known = {LAST, ORACLE, *record.curves["validators"]}
    return [name for name in RULES if name in known]


def _chosen(rule: str, record: Record, source: Accuracies, target: Accuracies) -> dict[str, Any]:
    i = _evaluation(rule, record, target)
    per_class = [float(one) if math.isfinite(one) else None for one in target.per_class[i]]
    return {
        "evaluation": i,
        "step": record.curves["step"][i],
        "source_accuracy": float(source.micro[i]),
        "source_macro": float(source.macro[i]),
        "target_accuracy": float(target.micro[i]),
        "target_macro": float(target.macro[i]),
        "target_per_class": per_class,
    }


def _evaluation(rule: str, record: Record, target: Accuracies) -> int:
    if rule == LAST:
        return len(target.micro) - 1
    if rule == ORACLE:
        return last_argmax(target.micro)
    return last_argmax(np.array(record.curves["validators"][rule], np.float64))


def _differences(given: Record, again: Record) -> list[Finding]:
    """Where a number, or a choice, is not what follows from the predictions."""
    claimed, found = given.result["rules"], again.result["rules"]
    places = [(f"curves.{name}", given.curves[name], again.curves[name]) for name in NUMBERS]
    for rule, one in found.items():
        places += [(f"rules.{rule}.{name}", claimed.get(rule, {}).get(name), one[name]) for name in one]
    wrong = [place for place, ours, theirs in places if not _equal(ours, theirs)]
    wrong += [f"rules.{rule}" for rule in claimed.keys() - found.keys()]
    what = f"{len(wrong)} numbers are not what its predictions give, the first of them {wrong[0]}" if wrong else ""
    return [Finding("refused", "metrics", given.id, what)] if wrong else []


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0, abs_tol=EQUAL)
