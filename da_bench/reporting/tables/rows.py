"""Records -> rows: runs that differ in nothing but their seed share a row; everything else has a row of its own."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from da_bench.core.config import UserError
from da_bench.reporting.tables.naming import (
    TARGET_ONLY,
    TARGET_ONLY_HELD_OUT,
    _families,
    _family,
    _key,
    _task,
    _texts,
    row_name,
    run_settings,
    varying_settings,
)
from da_bench.studies.records import Record

SOURCE_ONLY = "source_only"

CLASSIFIERS = {"1nn": "nearest_neighbour", "logistic": "logistic_regression", "svm": "svm"}  # by `classifier`


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs of one setting on one task, by seed.

    runs: finished runs, diverged ones included; skipped: runs that were not made, failed: that left no result, both
    with their reason.
    """

    name: str
    runs: tuple[Record, ...]
    skipped: tuple[Record, ...] = ()
    failed: tuple[Record, ...] = ()

    @property
    def first(self) -> Record:
        """One of its records: they all have the same settings."""
        return (self.runs + self.skipped + self.failed)[0]

    @functools.cached_property
    def context(self) -> dict[str, str]:
        """What rows must share to be compared: every setting that is not the method's."""
        return {name: text for name, text in _texts(self.first).items() if not name.startswith("method.")}

    @functools.cached_property
    def is_source_only(self) -> bool:
        """Whether it is a reference: trained on the source alone."""
        return not self.is_bound and not self.first.result["adapts"]

    @property
    def is_bound(self) -> bool:
        """Whether it was trained on target labels, all or some."""
        return self.first.config["labels_from"] != "source"

    @property
    def is_upper_bound(self) -> bool:
        """Whether it was trained on all labels of the target's training split."""
        return _is_upper_bound(self.first)

    @property
    def diverged(self) -> int:
        """How many of its runs diverged."""
        return sum(run.result["status"] == "diverged" for run in self.runs)

    def scores(self, rule: str, quantity: str = "target_accuracy") -> dict[int, float]:
        """Seed -> `quantity` as `rule` reports it; runs without a finite one are left out."""
        found = {run.config["seed"]: run.result["rules"].get(rule, {}).get(quantity) for run in self.runs}
        return _known(found)

    def distances(self) -> dict[int, float]:
        """Seed -> proxy A-distance of the features."""
        return _known({run.config["seed"]: run.result.get("proxy_a_distance") for run in self.runs})


def _known(found: dict[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def align_seeds(*scores: dict[int, float]) -> list[list[float]]:
    """The values of each at the seeds that all of them have, in the same order."""
    seeds = common_seeds(*scores)
    return [[one[seed] for seed in seeds] for one in scores]


def common_seeds(*scores: dict[int, float]) -> list[int]:
    """The seeds that all of them have, in order."""
    return sorted(set.intersection(*map(set, scores)))


def group_for_tables(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Task -> what stands in its table, tasks in order of first appearance.

    An upper bound of a transductive task is scored on the rows that it trained on. That of the pair's inductive task is
    not: where nothing else was run on this, it is lent to the transductive one, as `HELD_OUT`.

    Raises:
        UserError: for no records.
    """
    tasks = group_by_task(records)
    lenders = {task: _others(task, tasks) for task, group in tasks.items() if all(map(_is_upper_bound, group))}
    lent = {task: [one for lender, to in lenders.items() if task in to for one in tasks[lender]] for task in tasks}
    return {task: [*group, *lent[task]] for task, group in tasks.items() if not lenders.get(task)}


def group_by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Task -> its own records, tasks in order of first appearance.

    Raises:
        UserError: for no records.
    """
    if not records:
        raise UserError(
            "no records to report: run `da-bench run experiments/quickstart.py`, and name the folder it fills"
        )
    tasks: dict[str, list[Record]] = {}
    for record in records:
        tasks.setdefault(_task(record), []).append(record)
    return tasks


def _others(task: str, tasks: Iterable[str]) -> list[str]:
    """Those of the same pair in another protocol, where `task` is inductive."""
    return [one for one in tasks if one.startswith(f"{task}@")]


def _is_upper_bound(record: Record) -> bool:
    return record.config["labels_from"] == "target" and not record.config.get("shots")


def build_rows(records: Sequence[Record]) -> list[Row]:
    """Rows of one task: source only first, then in order of first appearance, the upper bound last.

    Raises:
        UserError: for two results of one setting and seed.
    """
    tasks = set(map(_task, records))
    lenders = {task for task in tasks if _others(task, tasks)}
    rows = [row for family in _families(records).values() for row in _family_rows(family)]
    named = [_called_held_out(row) if _task(row.first) in lenders else row for row in rows]
    return sorted(named, key=lambda row: (not row.is_source_only, row.is_bound))


def _called_held_out(row: Row) -> Row:
    return dataclasses.replace(row, name=row.name.replace(TARGET_ONLY, TARGET_ONLY_HELD_OUT, 1))


def _family_rows(family: list[Record]) -> list[Row]:
    fields = varying_settings(family)
    groups: dict[Any, list[Record]] = {}
    for record in family:
        groups.setdefault(_key(record.canonical, fields), []).append(record)
    return [_row(row_name(group[0], fields), group) for group in groups.values()]


def _row(name: str, group: list[Record]) -> Row:
    group = sorted(group, key=lambda record: record.config["seed"])
    for one, other in itertools.pairwise(group):
        if one.config["seed"] == other.config["seed"]:
            raise UserError(
                f"two results of '{name}' on '{one.config['task']}' with seed {one.config['seed']} "
                f"(records {one.id} and {other.id}): report one of the two folders, or remove one record"
            )
    unmade = {status: tuple(one for one in group if one.result["status"] == status) for status in ("skipped", "failed")}
    runs = tuple(one for one in group if one.result["status"] not in unmade)
    return Row(name, runs, **unmade)


def reference_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row without adaptation that has the same model and training as `row`.

    Where there are several, source only, and of a classical method its own last classifier.
    """
    found, config = [one for one in rows if one.is_source_only], row.first.config
    own = SOURCE_ONLY if config["training"] else CLASSIFIERS.get(config["method"].get("classifier", "logistic"))
    return _partner(row, sorted(found, key=lambda one: one.first.config["method"]["name"] != own))


def upper_bound_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row trained on target labels with the same model and training as `row`, scored on held-out rows if any is."""
    bounds = [one for one in rows if one.is_upper_bound]
    return _partner(row, sorted(bounds, key=lambda one: _task(one.first) == _task(row.first)))


def _partner(row: Row, candidates: list[Row]) -> Row | None:
    return next((one for one in candidates if one.runs and one.context == row.context), None)


def sweep_field(rows: Sequence[Row]) -> str | None:
    """The one float field in which three or more rows of one method differ; None where there is no such thing."""
    fields = varying_settings(row.first for row in rows)
    if len(rows) < 3 or len(fields) != 1:
        return None
    values = [run_settings(row.first).get(fields[0]) for row in rows]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return fields[0] if numbers and any(isinstance(value, float) for value in values) else None


def find_sweeps(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """(field, rows in order of its value) of each method that was run at three or more values of one float field."""
    families: dict[Any, list[Row]] = {}
    for row in rows:
        if row.runs:
            families.setdefault(_family(row.first), []).append(row)
    found = [(sweep_field(family), family) for family in families.values()]
    return [(field, sorted(family, key=lambda row: run_settings(row.first)[field])) for field, family in found if field]
