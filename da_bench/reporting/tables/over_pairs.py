"""Results of methods over domain pairs, for tables and plots."""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.reporting.stats.paired import PairedTest, gain_verdict
from da_bench.reporting.tables.cells import gain_over_source_only
from da_bench.reporting.tables.naming import method_key
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables, reference_row
from da_bench.studies.records import Record


class MethodOverPairs(NamedTuple):
    """One method on several tasks.

    Attributes:
        name: name of its rows.
        rows: task -> row.
        bases: task -> comparable row without adaptation; None for source only, or if there is none.
        trials: task -> number of settings of the method that were run.
    """

    name: str
    rows: dict[str, Row]
    bases: dict[str, Row | None]
    trials: dict[str, int]

    @property
    def first(self) -> Row:
        """The first of its rows."""
        return next(iter(self.rows.values()))

    @property
    def competes(self) -> bool:
        """Whether it trained without target labels."""
        return not self.first.uses_target_labels

    def scores(self, rule: str) -> dict[str, list[float]]:
        """Task -> target accuracies over seeds."""
        return {task: list(row.scores(rule).values()) for task, row in self.rows.items()}


def methods_over_pairs(records: Sequence[Record]) -> tuple[list[str], list[MethodOverPairs]]:
    """Find the methods that ran on two or more tasks.

    A method is the same on two pairs if all its fields are equal and it has the same name in both tables.

    Returns:
        (tasks, methods), source only first and upper bounds last.

    Raises:
        UserError: no records, or two results of one setting and seed.
    """
    methods: dict[Any, MethodOverPairs] = {}
    tasks = group_for_tables(records)
    for task, group in tasks.items():
        rows = build_rows(group)
        trials = collections.Counter(map(_method_and_labels, rows))
        for row in (row for row in rows if row.runs):
            key = row.name, method_key(row.first)
            method = methods.setdefault(key, MethodOverPairs(row.name, {}, {}, {}))
            method.rows[task] = row
            method.bases[task] = None if row.is_source_only else reference_row(row, rows)
            method.trials[task] = trials[_method_and_labels(row)]
    several = [method for method in methods.values() if len(method.rows) > 1]
    return list(tasks), sorted(several, key=lambda method: (not method.first.is_source_only, not method.competes))


def _method_and_labels(row: Row) -> tuple[str, bool]:
    return row.first.config["method"]["name"], row.uses_target_labels


def mean_accuracies(method: MethodOverPairs, tasks: Sequence[str], rule: str) -> np.ndarray:
    """Mean accuracy over seeds [tasks]; NaN without a result."""
    scores = method.scores(rule)
    return np.array([np.mean(scores[task]) if scores.get(task) else np.nan for task in tasks])


def methods_on_every_pair(tasks: Sequence[str], methods: Sequence[MethodOverPairs], rule: str) -> list[MethodOverPairs]:
    """Methods that trained without target labels and have a result on every task."""
    return [method for method in methods if method.competes and np.isfinite(mean_accuracies(method, tasks, rule)).all()]


def mean_gains(method: MethodOverPairs, tasks: Sequence[str], rule: str) -> np.ndarray | None:
    """Mean gain over source only on common seeds [tasks], in [-1, 1]; None for source only, or if one is missing."""
    if method.first.is_source_only or any(method.bases.get(task) is None for task in tasks):
        return None
    gains = []
    for task in tasks:
        gain = paired_gain(method, task, rule)
        if gain is None:
            return None
        gains.append(gain.mean)
    return np.array(gains)


def paired_gain(method: MethodOverPairs, task: str, rule: str) -> PairedTest | None:
    """Paired test against source only on one task, over seeds."""
    base = method.bases.get(task)
    return gain_over_source_only(method.rows[task], [base], rule) if base else None


def has_negative_transfer(method: MethodOverPairs, task: str, rule: str) -> bool:
    """Whether the method is below source only on the task, by a paired t test over seeds."""
    gain = paired_gain(method, task, rule)
    return gain is not None and method.competes and gain_verdict(gain) == "negative transfer"
