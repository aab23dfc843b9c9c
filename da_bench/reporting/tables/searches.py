"""Hyper-parameter searches: runs of one method at several settings, and the setting that each selection rule picks.

A search consists of the runs on a task that differ only in seeds and float fields and have several learning rates:
those of `da-bench search`, or any other sample or grid. A rule picks the best-scored checkpoint of each run, and the
setting with the best mean score over seeds.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from da_bench.core.config import round_to_digits
from da_bench.evaluation.validators import LAST
from da_bench.methods import METHODS, load_plugins
from da_bench.reporting.tables.naming import row_name, run_settings, varying_settings
from da_bench.reporting.tables.rows import Row, build_rows
from da_bench.studies.archive import DIGITS
from da_bench.studies.records import Record
from da_bench.studies.score import rule_score
from da_bench.training import Training

LEARNING_RATE = "training.learning_rate"


@dataclasses.dataclass(frozen=True)
class Search:
    """The settings of one method that were run on a task.

    Args:
        name: name of the method.
        rows: one row per setting; the default setting, if known, comes first.
        fields: settings that differ among the rows.
        fixed: settings that all rows share; source only must have the same model and training to be compared.
        default: row of the default setting; None if it is not among the rows.
    """

    name: str
    rows: tuple[Row, ...]
    fields: tuple[str, ...]
    fixed: dict[str, str]
    default: Row | None

    @property
    def seeds(self) -> set[int]:
        """Seeds with which any setting was run."""
        return {run.config["seed"] for row in self.rows for run in row.runs}

    @property
    def budget(self) -> tuple[int, int]:
        """(trials, seeds)."""
        return len(self.rows), len(self.seeds)

    @property
    def seconds(self) -> float:
        """Seconds of all runs without compiling; runs computed together share the time."""
        seconds = [run.result.get("seconds") or {} for row in self.rows for run in row.runs]
        return sum((each.get("run") or 0.0) / max(each.get("together") or 1, 1) for each in seconds)

    def scores(self, rule: str) -> np.ndarray:
        """Score of each setting under a rule [trials]: mean over seeds; -inf if a run is missing or has no score."""
        return np.array([_mean_score(row, rule, self.seeds) for row in self.rows])

    def accuracies(self, rule: str) -> np.ndarray:
        """Mean target accuracy of each setting in [0, 1] at the checkpoints that the rule picks [trials]."""
        by_seed = [list(row.scores(rule).values()) for row in self.rows]
        return np.array([np.mean(values) if values else np.nan for values in by_seed])

    def selected_row(self, rule: str) -> Row | None:
        """The setting that a rule picks; for "last", which scores none, the default. None if it cannot pick."""
        if rule == LAST:
            return self.default
        scores = self.scores(rule)
        return self.rows[int(np.argmax(scores))] if np.isfinite(scores).any() else None

    def selected_scores(self, rule: str) -> dict[int, float]:
        """Seed -> target accuracy of the setting and checkpoint that a rule picks; empty if it cannot pick."""
        row = self.selected_row(rule)
        return row.scores(rule) if row else {}

    def best_so_far(self, rule: str) -> np.ndarray | None:
        """Expected target accuracy of the setting that a rule picks from the first k, for k = 1 .. trials: [trials].

        The expectation is over orders of the settings; the default, if known, comes first in all of them. None if the
        rule cannot pick.
        """
        scores, accuracies = self.scores(rule), self.accuracies(rule)
        if not (np.isfinite(scores).any() and np.isfinite(accuracies).all()):
            return None
        if self.default is None:
            return expected_best(scores, accuracies)
        # A setting that does not beat the default leaves the default in place.
        better_or_default = np.where(scores[1:] > scores[0], accuracies[1:], accuracies[0])
        return np.concatenate([accuracies[:1], expected_best(scores[1:], better_or_default)])


def expected_best(scores: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """Mean accuracy of the best-scored of k settings over all ways to draw k of K.

    The setting of rank r, counted from 0, is the best of C(K - 1 - r, k - 1) of the C(K, k) draws.

    Args:
        scores: scores [K]; of equal scores the first is the better one.
        accuracies: accuracies [K].

    Returns:
        Means for k = 1 .. K, [K].
    """
    ranked, count = accuracies[np.argsort(-scores, kind="stable")], len(scores)
    probabilities = [
        [math.comb(count - 1 - rank, k - 1) / math.comb(count, k) for rank in range(count)] for k in range(1, count + 1)
    ]
    return np.array(probabilities).reshape(count, count) @ ranked


def _mean_score(row: Row, rule: str, seeds: set[int]) -> float:
    scores = {run.config["seed"]: rule_score(run, rule) for run in row.runs}
    # Means that differ by rounding only are ties.
    mean = round_to_digits(float(np.mean([scores.get(seed, math.nan) for seed in seeds])), DIGITS - 1)
    return mean if math.isfinite(mean) else -math.inf


def find_searches(records: Sequence[Record]) -> list[Search]:
    """Find the searches on one task, source only first.

    The default of a search is the setting whose varying method fields have the method's defaults. Of source only, only
    the learning rate varies: its default is the learning rate of the other methods' defaults or, without other
    methods, that of `Training`.

    Raises:
        UserError: two results of one setting and seed.
    """
    groups: dict[Any, list[Row]] = {}
    for row in build_rows(records):
        if row.runs:
            groups.setdefault(tuple(sorted(_fixed_settings(row).items())), []).append(row)
    fields = {key: _varying_fields(rows) for key, rows in groups.items()}
    searched = {key: rows for key, rows in groups.items() if LEARNING_RATE in fields[key]}
    candidates = {key: _rows_at_method_defaults(rows, fields[key]) for key, rows in searched.items()}
    rates = {_learning_rate(rows[0]) for rows in candidates.values() if len(rows) == 1} or {Training().learning_rate}
    examples = [rows[0].first for rows in searched.values()]
    searches = []
    for key, rows in searched.items():
        defaults = [row for row in candidates[key] if _learning_rate(row) in rates]
        default = defaults[0] if len(defaults) == 1 else None
        name, ordered = _search_name(rows[0].first, examples), _default_first(rows, fields[key], default)
        searches.append(Search(name, ordered, fields[key], _fixed_settings(rows[0]), default))
    return searches


def _default_first(rows: list[Row], fields: Sequence[str], default: Row | None) -> tuple[Row, ...]:
    """The default first, then in order of the settings that differ."""
    return tuple(sorted(rows, key=lambda row: (row is not default, [run_settings(row.first)[name] for name in fields])))


def _search_name(record: Record, examples: list[Record]) -> str:
    """Name of the method with the settings in which its searches differ, other than those that were searched."""
    name = record.config["method"]["name"]
    same_method = [other for other in examples if other.config["method"]["name"] == name]
    fields = [
        field
        for field in varying_settings(same_method)
        if not any(_is_searched(field, run_settings(other).get(field)) for other in same_method)
    ]
    return row_name(record, fields)


def _fixed_settings(row: Row) -> dict[str, str]:
    """Settings other than the float fields of method and training, and the target labels that were used."""
    labels = {name: repr(row.first.config.get(name)) for name in ("labels_from", "shots")}
    settings = run_settings(row.first).items()
    return labels | {name: repr(value) for name, value in settings if not _is_searched(name, value)}


def _is_searched(name: str, value: Any) -> bool:
    return isinstance(value, float) and name.startswith(("method.", "training."))


def _varying_fields(rows: Sequence[Row]) -> tuple[str, ...]:
    """Settings that differ among the rows, the learning rate first."""
    return tuple(sorted(varying_settings(row.first for row in rows), key=lambda name: name != LEARNING_RATE))


def _learning_rate(row: Row) -> float:
    return float(run_settings(row.first)[LEARNING_RATE])


def _rows_at_method_defaults(rows: Sequence[Row], fields: Sequence[str]) -> list[Row]:
    """Rows whose varying method fields have the method's defaults; none for a method that is not known."""
    name = rows[0].first.config["method"]["name"]
    method_fields = [field for field in fields if field.startswith("method.")]
    if not method_fields:
        return list(rows)
    if name not in METHODS:
        load_plugins()
    if name not in METHODS:
        return []
    method = METHODS[name]()
    defaults = {field: getattr(method, field.removeprefix("method."), None) for field in method_fields}
    return [row for row in rows if all(run_settings(row.first)[field] == defaults[field] for field in method_fields)]


def matching_source_only(search: Search, searches: Sequence[Search]) -> Search | None:
    """The search of source only with the same model, training and budget as `search`; None if there is none."""

    def context(other: Search) -> dict[str, str]:
        return {
            name: value for name, value in other.fixed.items() if not name.startswith(("method.", "labels_", "shots"))
        }

    for other in searches:
        if other.rows[0].is_source_only and context(other) == context(search) and other.budget == search.budget:
            return other
    return None
