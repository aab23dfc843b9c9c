"""Searches: what a budget of settings buys by each rule that may choose one of them, beside the default setting.

A search is the runs on a task that are alike in all but seeds and float fields, at several learning rates: what
`da-bench search` makes, or any other sample or grid. A rule takes of each run the checkpoint that it chooses, and of
all settings the one whose score there is the best in the mean over seeds.
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

RATE = "training.learning_rate"


@dataclasses.dataclass(frozen=True)
class Search:
    """The settings of one method that were run on a task; the default's, where it is known, is the first of the rows.

    fields: what they differ in; fixed: what they share, and must share with the source only that they are read against.
    """

    name: str
    rows: tuple[Row, ...]
    fields: tuple[str, ...]
    fixed: dict[str, str]
    default: Row | None

    @property
    def seeds(self) -> set[int]:
        """Those that any setting was run with."""
        return {run.config["seed"] for row in self.rows for run in row.runs}

    @property
    def budget(self) -> tuple[int, int]:
        """(trials, seeds)."""
        return len(self.rows), len(self.seeds)

    @property
    def seconds(self) -> float:
        """Of all its runs, those that ran together sharing the time, without compiling."""
        spent = [run.result.get("seconds") or {} for row in self.rows for run in row.runs]
        return sum((one.get("run") or 0.0) / max(one.get("together") or 1, 1) for one in spent)

    def scores(self, rule: str) -> np.ndarray:
        """What a rule says of each setting, [trials]: means over seeds, -inf where a run is missing or has no score."""
        return np.array([_mean_score(row, rule, self.seeds) for row in self.rows])

    def accuracies(self, rule: str) -> np.ndarray:
        """Target accuracy of each setting in [0, 1] at the checkpoints that the rule chooses, [trials]."""
        found = [list(row.scores(rule).values()) for row in self.rows]
        return np.array([np.mean(one) if one else np.nan for one in found])

    def chosen(self, rule: str) -> Row | None:
        """The setting that a rule takes; of "last", which scores none, the default. None where it cannot choose."""
        if rule == LAST:
            return self.default
        scores = self.scores(rule)
        return self.rows[int(np.argmax(scores))] if np.isfinite(scores).any() else None

    def chosen_scores(self, rule: str) -> dict[int, float]:
        """Seed -> target accuracy of the setting and checkpoint that a rule takes; empty where it cannot choose."""
        chosen = self.chosen(rule)
        return chosen.scores(rule) if chosen else {}

    def best_so_far(self, rule: str) -> np.ndarray | None:
        """Target accuracy of what a rule takes of the first k settings, k = 1 .. trials, in expectation over orders.

        The default, where it is known, comes first in all of them. None where the rule cannot choose.
        """
        scores, accuracies = self.scores(rule), self.accuracies(rule)
        if not (np.isfinite(scores).any() and np.isfinite(accuracies).all()):
            return None
        if self.default is None:
            return expected_best(scores, accuracies)
        kept = np.where(scores[1:] > scores[0], accuracies[1:], accuracies[0])  # what is no better changes nothing
        return np.concatenate([accuracies[:1], expected_best(scores[1:], kept)])


def expected_best(scores: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """Mean accuracy of the best-scored of k settings over all ways to draw k of K, for k = 1 .. K: [K].

    The setting of rank r, from 0, is the best of C(K - 1 - r, k - 1) of the C(K, k) draws. Of equal scores in [K] the
    first is the better one; accuracies [K].
    """
    ranked, count = accuracies[np.argsort(-scores, kind="stable")], len(scores)
    chances = [
        [math.comb(count - 1 - rank, k - 1) / math.comb(count, k) for rank in range(count)] for k in range(1, count + 1)
    ]
    return np.array(chances).reshape(count, count) @ ranked


def _mean_score(row: Row, rule: str, seeds: set[int]) -> float:
    scores = {run.config["seed"]: rule_score(run, rule) for run in row.runs}
    # means that are equal but for how they were rounded are a tie
    mean = round_to_digits(float(np.mean([scores.get(seed, math.nan) for seed in seeds])), DIGITS - 1)
    return mean if math.isfinite(mean) else -math.inf


def find_searches(records: Sequence[Record]) -> list[Search]:
    """The searches on one task, source only first.

    The default of a search is the setting at which the fields that differ are the method's defaults. Of source only,
    of which only the learning rate differs, it is the one at the learning rate of the other methods' defaults; where
    there are no others, at that of `Training`.

    Raises:
        UserError: two results of one setting and seed.
    """
    groups: dict[Any, list[Row]] = {}
    for row in build_rows(records):
        if row.runs:
            groups.setdefault(tuple(sorted(_fixed(row).items())), []).append(row)
    fields = {key: _differing(rows) for key, rows in groups.items()}
    searched = {key: rows for key, rows in groups.items() if RATE in fields[key]}
    papers = {key: _at_defaults(rows, fields[key]) for key, rows in searched.items()}
    rates = {_rate(rows[0]) for rows in papers.values() if len(rows) == 1} or {Training().learning_rate}
    among = [rows[0].first for rows in searched.values()]
    return [_search(rows, fields[key], papers[key], (rates, among)) for key, rows in searched.items()]


def _search(
    rows: list[Row], fields: tuple[str, ...], papers: list[Row], of_all: tuple[set[float], list[Record]]
) -> Search:
    rates, among = of_all
    candidates = [row for row in papers if _rate(row) in rates]
    default = candidates[0] if len(candidates) == 1 else None
    ordered = sorted(rows, key=lambda row: (row is not default, [run_settings(row.first)[name] for name in fields]))
    same = [one for one in among if one.config["method"]["name"] == rows[0].first.config["method"]["name"]]
    forms = [
        name for name in varying_settings(same) if not any(_free(name, run_settings(one).get(name)) for one in same)
    ]
    return Search(row_name(rows[0].first, forms), tuple(ordered), fields, _fixed(rows[0]), default)


def _fixed(row: Row) -> dict[str, str]:
    """Its settings, but for the float fields of method and training, and what it knew of target labels."""
    knew = {name: repr(row.first.config.get(name)) for name in ("labels_from", "shots")}
    return knew | {name: repr(value) for name, value in run_settings(row.first).items() if not _free(name, value)}


def _free(name: str, value: Any) -> bool:
    return isinstance(value, float) and name.startswith(("method.", "training."))


def _differing(rows: Sequence[Row]) -> tuple[str, ...]:
    found = varying_settings(row.first for row in rows)
    return (*[name for name in found if name == RATE], *[name for name in found if name != RATE])


def _rate(row: Row) -> float:
    return float(run_settings(row.first)[RATE])


def _at_defaults(rows: Sequence[Row], fields: Sequence[str]) -> list[Row]:
    """The settings at which what differs of the method is its default."""
    own, name = [field for field in fields if field.startswith("method.")], rows[0].first.config["method"]["name"]
    if not own:
        return list(rows)
    if name not in METHODS:
        load_plugins()
    if name not in METHODS:
        return []
    paper = METHODS[name]()
    defaults = {field: getattr(paper, field.removeprefix("method."), None) for field in own}
    return [row for row in rows if all(run_settings(row.first)[field] == defaults[field] for field in own)]


def matching_source_only(search: Search, searches: Sequence[Search]) -> Search | None:
    """Source only, with the same network, training and budget as `search`; None: not among `searches`."""

    def outside(one: Search) -> dict[str, str]:
        return {
            name: value for name, value in one.fixed.items() if not name.startswith(("method.", "labels_", "shots"))
        }

    same = [one for one in searches if one.rows[0].is_source_only and outside(one) == outside(search)]
    return next((one for one in same if one.budget == search.budget), None)
