"""Rows of tables: runs that differ only in their seed share a row."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from da_bench.core.config import UserError
from da_bench.reporting.tables.naming import (
    NOT_SETTINGS,
    TARGET_ONLY,
    TARGET_ONLY_HELD_OUT,
    group_by_family,
    method_family,
    row_name,
    run_settings,
    settings_key,
    task_name,
    varying_settings,
)
from da_bench.studies.records import Record

SOURCE_ONLY = "source_only"
# Field `classifier` of a classical method -> the method without adaptation that it is compared with.
CLASSIFIERS = {"1nn": "nearest_neighbour", "logistic": "logistic_regression", "svm": "svm"}


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs of one method at one setting on one task, in order of seeds.

    Attributes:
        name: method and the settings that vary in the table.
        runs: finished runs, including those that diverged.
        skipped: records of runs that were not made, with the reason.
        failed: records of runs that left no result, with the reason.
    """

    name: str
    runs: tuple[Record, ...]
    skipped: tuple[Record, ...] = ()
    failed: tuple[Record, ...] = ()

    @property
    def first(self) -> Record:
        """The first record; all of them have the same settings."""
        return (self.runs + self.skipped + self.failed)[0]

    @functools.cached_property
    def context(self) -> dict[str, str]:
        """Settings other than the method's. Only rows with the same context are compared."""
        return {
            name: text
            for name, text in self.first.canonical.items()
            if name not in NOT_SETTINGS and not name.startswith("method.")
        }

    @functools.cached_property
    def is_source_only(self) -> bool:
        """Whether the row is a reference: trained on the source alone."""
        return not self.uses_target_labels and not self.first.result["adapts"]

    @property
    def uses_target_labels(self) -> bool:
        """Whether the row was trained on target labels, all or some of them."""
        return self.first.config["labels_from"] != "source"

    @property
    def is_upper_bound(self) -> bool:
        """Whether the row was trained on all labels of the target's training split."""
        return _is_upper_bound(self.first)

    @property
    def diverged(self) -> int:
        """Number of runs that diverged."""
        return sum(run.result["status"] == "diverged" for run in self.runs)

    def scores(self, rule: str, quantity: str = "target_accuracy") -> dict[int, float]:
        """Values by seed under a selection rule.

        Args:
            rule: selection rule.
            quantity: name of the value in the record.

        Returns:
            Seed -> value; runs without a finite value are left out.
        """
        return _finite({run.config["seed"]: run.result["rules"].get(rule, {}).get(quantity) for run in self.runs})

    def a_distances(self) -> dict[int, float]:
        """Seed -> proxy A-distance of the features; runs without one are left out."""
        return _finite({run.config["seed"]: run.result.get("proxy_a_distance") for run in self.runs})


def _finite(values: dict[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in values.items() if value is not None and math.isfinite(value)}


def align_seeds(*scores: dict[int, float]) -> list[list[float]]:
    """Values of each mapping from seeds at the seeds that all of them have, in order of seeds."""
    seeds = common_seeds(*scores)
    return [[by_seed[seed] for seed in seeds] for by_seed in scores]


def common_seeds(*scores: dict[int, float]) -> list[int]:
    """Seeds that all mappings have, sorted."""
    return sorted(set.intersection(*map(set, scores)))


def group_by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each task, tasks in order of first appearance.

    Raises:
        UserError: there are no records.
    """
    if not records:
        raise UserError("no records: run `da-bench run experiments/quickstart.py` and give the folder that it fills")
    tasks: dict[str, list[Record]] = {}
    for record in records:
        tasks.setdefault(task_name(record), []).append(record)
    return tasks


def group_for_tables(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records in each task's table, tasks in order of first appearance.

    The upper bound of a transductive task is scored on the rows that it trained on. The upper bound of the pair's
    inductive task is not. If nothing else was run on the inductive task, its bound is therefore shown in the table of
    the transductive task, named `TARGET_ONLY_HELD_OUT`.

    Raises:
        UserError: there are no records.
    """
    tasks = group_by_task(records)
    borrowers = {
        task: _other_protocols(task, tasks) for task, group in tasks.items() if all(map(_is_upper_bound, group))
    }
    tables = {}
    for task, group in tasks.items():
        if not borrowers.get(task):
            bounds = [bound for lender, names in borrowers.items() if task in names for bound in tasks[lender]]
            tables[task] = [*group, *bounds]
    return tables


def _other_protocols(task: str, tasks: Iterable[str]) -> list[str]:
    """Tasks of the same pair in another protocol, if `task` is inductive."""
    return [other for other in tasks if other.startswith(f"{task}@")]


def _is_upper_bound(record: Record) -> bool:
    return record.config["labels_from"] == "target" and not record.config.get("shots")


def build_rows(records: Sequence[Record]) -> list[Row]:
    """Rows of one task: source only first, then in order of first appearance, upper bounds last.

    Raises:
        UserError: two results of one setting and seed.
    """
    tasks = set(map(task_name, records))
    rows = []
    for family in group_by_family(records).values():
        fields = varying_settings(family)
        groups: dict[Any, list[Record]] = {}
        for record in family:
            groups.setdefault(settings_key(record, fields), []).append(record)
        rows += [_build_row(row_name(group[0], fields), group) for group in groups.values()]
    for i, row in enumerate(rows):
        if _other_protocols(task_name(row.first), tasks):
            rows[i] = dataclasses.replace(row, name=row.name.replace(TARGET_ONLY, TARGET_ONLY_HELD_OUT, 1))
    return sorted(rows, key=lambda row: (not row.is_source_only, row.uses_target_labels))


def _build_row(name: str, records: list[Record]) -> Row:
    records = sorted(records, key=lambda record: record.config["seed"])
    for record, other in itertools.pairwise(records):
        if record.config["seed"] == other.config["seed"]:
            raise UserError(
                f"two results of '{name}' on '{task_name(record)}' with seed {record.config['seed']} "
                f"(records {record.id} and {other.id}): report one of the two folders, or remove one record"
            )
    skipped, failed = (
        tuple(record for record in records if record.result["status"] == status) for status in ("skipped", "failed")
    )
    runs = tuple(record for record in records if record.result["status"] not in ("skipped", "failed"))
    return Row(name, runs, skipped, failed)


def reference_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row without adaptation that has the same model and training as `row`.

    If there are several, it is source only, and for a classical method its own classifier without adaptation.
    """
    config = row.first.config
    name = SOURCE_ONLY if config["training"] else CLASSIFIERS.get(config["method"].get("classifier", "logistic"))
    references = [other for other in rows if other.is_source_only]
    return _comparable(row, sorted(references, key=lambda other: other.first.config["method"]["name"] != name))


def upper_bound_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The upper bound with the same model and training as `row`; one that is scored on held-out rows comes first."""
    bounds = [other for other in rows if other.is_upper_bound]
    return _comparable(row, sorted(bounds, key=lambda other: task_name(other.first) == task_name(row.first)))


def _comparable(row: Row, candidates: list[Row]) -> Row | None:
    return next((other for other in candidates if other.runs and other.context == row.context), None)


def find_sweeps(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Methods that were run at three or more values of one float setting.

    Returns:
        (setting, rows in order of its value) of each such method.
    """
    families: dict[Any, list[Row]] = {}
    for row in rows:
        if row.runs:
            families.setdefault(method_family(row.first), []).append(row)
    sweeps = []
    for family in families.values():
        field = sweep_field(family)
        if field:
            sweeps.append((field, sorted(family, key=lambda row: run_settings(row.first)[field])))
    return sweeps


def sweep_field(rows: Sequence[Row]) -> str | None:
    """The single float setting in which three or more rows of one method differ; None if there is none."""
    fields = varying_settings(row.first for row in rows)
    if len(rows) < 3 or len(fields) != 1:
        return None
    values = [run_settings(row.first).get(fields[0]) for row in rows]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return fields[0] if numbers and any(isinstance(value, float) for value in values) else None
