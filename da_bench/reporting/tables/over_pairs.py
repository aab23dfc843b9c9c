"""Methods over domain pairs: what the tables and plots over pairs are made of."""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.reporting.stats.paired import gain_verdict
from da_bench.reporting.tables import cells
from da_bench.reporting.tables.cells import gain_over_source_only
from da_bench.reporting.tables.naming import method_key
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables, reference_row
from da_bench.studies.records import Record


class MethodOverPairs(NamedTuple):
    """A method over pairs, by task: its rows; the rows without adaptation that they are read against; trials, the
    settings of the method that were run.
    """

    name: str
    rows: dict[str, Row]
    bases: dict[str, Row | None]
    trials: dict[str, int]

    @property
    def first(self) -> Row:
        """One of its rows: they all are of one method."""
        return next(iter(self.rows.values()))

    @property
    def competes(self) -> bool:
        """Whether it is no upper bound."""
        return not self.first.is_bound

    def scores(self, rule: str) -> dict[str, list[float]]:
        """Target accuracies over seeds, by task."""
        return {task: list(row.scores(rule).values()) for task, row in self.rows.items()}


def methods_over_pairs(records: Sequence[Record]) -> tuple[list[str], list[MethodOverPairs]]:
    """(tasks, methods that ran on two or more of them), source only first and the upper bound last.

    A method is the same on two pairs if all its own fields are, and it is called the same in both tables.

    Raises:
        UserError: for no records, or two results of one setting and seed.
    """
    found: dict[Any, MethodOverPairs] = {}
    tasks = group_for_tables(records)
    for task, group in tasks.items():
        rows = build_rows(group)
        trials = collections.Counter(map(_kind, rows))
        for row in (row for row in rows if row.runs):
            line = found.setdefault((row.name, method_key(row.first)), MethodOverPairs(row.name, {}, {}, {}))
            line.rows[task], line.bases[task] = row, None if row.is_source_only else reference_row(row, rows)
            line.trials[task] = trials[_kind(row)]
    several = [line for line in found.values() if len(line.rows) > 1]
    order = sorted(several, key=lambda line: (not line.first.is_source_only, not line.competes))
    return list(tasks), order


def _kind(row: Row) -> tuple[str, bool]:
    return row.first.config["method"]["name"], row.is_bound


def mean_accuracies(line: MethodOverPairs, tasks: Sequence[str], rule: str) -> np.ndarray:
    """Mean accuracy over seeds [pairs], NaN where there is none."""
    scores = line.scores(rule)
    return np.array([np.mean(scores[task]) if scores.get(task) else np.nan for task in tasks])


def methods_on_every_pair(tasks: Sequence[str], lines: Sequence[MethodOverPairs], rule: str) -> list[MethodOverPairs]:
    """The competing lines that have a result on every pair."""
    return [line for line in lines if line.competes and np.isfinite(mean_accuracies(line, tasks, rule)).all()]


def mean_gains(line: MethodOverPairs, tasks: Sequence[str], rule: str) -> np.ndarray | None:
    """Mean gain over source only on common seeds [pairs], in [-1, 1]; None for a reference, or where one is missing."""
    if line.first.is_source_only or any(line.bases.get(task) is None for task in tasks):
        return None
    found = [paired_gain(line, task, rule) for task in tasks]
    return None if any(one is None for one in found) else np.array([one.mean for one in found if one is not None])


def paired_gain(line: MethodOverPairs, task: str, rule: str) -> cells.PairedTest | None:
    """Of one pair, over seeds."""
    base = line.bases.get(task)
    return gain_over_source_only(line.rows[task], [base], rule) if base else None


def has_negative_transfer(line: MethodOverPairs, task: str, rule: str) -> bool:
    """Whether the method is below source only on the pair, by a paired t test over seeds."""
    gain = paired_gain(line, task, rule)
    return gain is not None and line.competes and gain_verdict(gain) == "negative transfer"
