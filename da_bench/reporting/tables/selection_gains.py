"""Gains of methods over source only under every selection rule, on the same pairs and seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.evaluation.validators import ORACLE, RULES, VALIDATORS
from da_bench.reporting.stats.aggregates import mean_interval
from da_bench.reporting.stats.intervals import Interval
from da_bench.reporting.tables.over_pairs import methods_over_pairs
from da_bench.reporting.tables.rows import Row, align_seeds, common_seeds, group_for_tables
from da_bench.reporting.tables.searches import Search, find_searches, matching_source_only
from da_bench.studies.records import Record


class ScoredPair(NamedTuple):
    """A method and source only on one task, as functions from a rule to target accuracies by seed."""

    method: Callable[[str], dict[int, float]]
    source_only: Callable[[str], dict[int, float]]


class MethodGains(NamedTuple):
    """Gains of one method. All rules have the same pairs and seeds.

    Attributes:
        name: name of the method.
        rows: rows that the gains come from.
        pairs: tasks.
        seeds: seeds of each pair.
        by_rule: rule -> gains in [-1, 1], an array over seeds for each pair.
        base: rule -> target accuracies of source only that the gains refer to, likewise.
        trials: number of settings on a pair; a rule picks one of them.
    """

    name: str
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    by_rule: Mapping[str, list[np.ndarray]]
    base: Mapping[str, list[np.ndarray]]
    trials: int = 1

    def mean(self, rule: str) -> Interval:
        """Mean gain over pairs and seeds."""
        return mean_interval(self.by_rule[rule])

    @property
    def has_gain(self) -> bool:
        """Whether the interval of the oracle's mean gain lies above 0."""
        return is_above_zero(self.mean(ORACLE))


def is_above_zero(interval: Interval) -> bool:
    """Whether an interval lies above 0; that of a single seed does not."""
    return interval.mean - interval.half_width > 0


def require_gains(records: Sequence[Record]) -> list[MethodGains]:
    """As `collect_gains`, but at least one.

    Raises:
        UserError: no method has gains, or as `collect_gains`.
    """
    gains = collect_gains(records)
    if not gains:
        raise UserError(
            "no method with checkpoints and a comparable source only on two pairs: add folders of records by --also"
        )
    return gains


def collect_gains(records: Sequence[Record]) -> list[MethodGains]:
    """Gains of the methods with checkpoints and a comparable source only on two or more pairs.

    If methods were searched with the same budget as source only, only these are taken.

    Returns:
        Gains, the largest mean gain of the oracle first.

    Raises:
        UserError: no records, or two results of one setting and seed.
    """
    gains = _gains_of_searches(records) or _gains_of_single_settings(records)
    protocols = [str(method.rows[0].first.result["protocol"]) for method in gains]
    if len(set(protocols)) > 1:  # a method under two protocols counts as two
        named = zip(gains, protocols, strict=True)
        gains = [method._replace(name=f"{method.name}, {protocol}") for method, protocol in named]
    return sorted(gains, key=lambda method: -method.mean(ORACLE).mean)


def _gains_of_searches(records: Sequence[Record]) -> list[MethodGains]:
    methods: dict[Any, dict[str, tuple[Search, Search]]] = {}
    for task, group in group_for_tables(records).items():
        searches = find_searches(group)
        for search in searches:
            base = matching_source_only(search, searches)
            if base and search is not base and not search.rows[0].uses_target_labels:
                methods.setdefault((search.name, *sorted(search.fixed.items())), {})[task] = search, base
    several = [pairs for pairs in methods.values() if len(pairs) > 1]
    every_search = [search for pairs in several for pair in pairs.values() for search in pair]
    rules = [rule for rule in RULES if all(search.selected_scores(rule) for search in every_search)]
    gains = []
    for pairs in several:
        scored = {task: ScoredPair(one.selected_scores, base.selected_scores) for task, (one, base) in pairs.items()}
        searches = [search for search, _ in pairs.values()]
        rows = [row for search in searches for row in search.rows]
        method = _gains(searches[0].name, rows, scored, rules)
        gains.append(method._replace(trials=max(search.budget[0] for search in searches)))
    return gains


def _gains_of_single_settings(records: Sequence[Record]) -> list[MethodGains]:
    _, methods = methods_over_pairs(records)
    adapting = [
        method
        for method in methods
        # a classical method has no training and therefore no checkpoints to choose from
        if method.competes and not method.first.is_source_only and method.first.first.config["training"] is not None
    ]
    rows = [row for method in adapting for row in (*method.rows.values(), *method.bases.values()) if row is not None]
    rules = [rule for rule in RULES if all(row.scores(rule) for row in rows)]
    gains = []
    for method in adapting:
        bases = {task: base for task, base in method.bases.items() if base is not None}
        scored = {task: ScoredPair(method.rows[task].scores, base.scores) for task, base in bases.items()}
        if len(scored) > 1:
            gains.append(_gains(method.name, list(method.rows.values()), scored, rules))
    return gains


def _gains(name: str, rows: Sequence[Row], pairs: Mapping[str, ScoredPair], rules: Sequence[str]) -> MethodGains:
    """Gains on the seeds that the method and source only both have under every rule."""
    seeds = []
    by_rule: dict[str, list[np.ndarray]] = {rule: [] for rule in rules}
    base: dict[str, list[np.ndarray]] = {rule: [] for rule in rules}
    for pair in pairs.values():
        scores = [of(rule) for of in pair for rule in rules]
        seeds.append(tuple(common_seeds(*scores)))
        aligned = np.array(align_seeds(*scores))  # [2 rules, seeds]: the method's, then source only's
        for rule, accuracies, base_accuracies in zip(rules, aligned[: len(rules)], aligned[len(rules) :], strict=True):
            by_rule[rule].append(accuracies - base_accuracies)
            base[rule].append(base_accuracies)
    return MethodGains(name, tuple(rows), tuple(pairs), tuple(seeds), by_rule, base)


def lost_gains(rule: str, gains: Sequence[MethodGains]) -> list[float]:
    """Gain under the oracle minus gain under a rule, of every method on every pair, mean over seeds."""
    return [
        float(oracle.mean() - selected.mean())
        for method in gains
        for oracle, selected in zip(method.by_rule[ORACLE], method.by_rule[rule], strict=True)
    ]


def mean_over_methods(rule: str, gains: Sequence[MethodGains]) -> list[np.ndarray]:
    """Mean gain of the methods for each pair, over the seeds that all of them have.

    All gains of a seed refer to the same source-only run, so methods are averaged within seeds instead of being
    counted as independent draws.
    """
    means = []
    for task in dict.fromkeys(task for method in gains for task in method.pairs):
        by_seed = []
        for method in gains:
            if task in method.pairs:
                i = method.pairs.index(task)
                by_seed.append(dict(zip(method.seeds[i], method.by_rule[rule][i], strict=True)))
        means.append(np.mean(align_seeds(*by_seed), axis=0))
    return means


def label_free_rules(gains: Sequence[MethodGains]) -> list[str]:
    """Validators by which every run has a result."""
    return [rule for rule in gains[0].by_rule if rule in VALIDATORS]
