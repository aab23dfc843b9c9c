"""Gains of methods under every selection rule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.evaluation.validators import ORACLE, RULES, VALIDATORS
from da_bench.reporting.stats.aggregates import mean_interval
from da_bench.reporting.stats.intervals import Interval
from da_bench.reporting.tables.over_pairs import MethodOverPairs, methods_over_pairs
from da_bench.reporting.tables.rows import Row, align_seeds, common_seeds, group_for_tables
from da_bench.reporting.tables.searches import Search, find_searches, matching_source_only
from da_bench.studies.records import Record

Scores = Callable[[str], dict[int, float]]  # rule -> target accuracies by seed


class MethodGains(NamedTuple):
    """Of one method, in [-1, 1]: by rule, for each pair, an array over the seeds; the same seeds for every rule.

    rows: what it was run with; seeds: those of each pair; base: target accuracy of the source only that each gain is
    over, as `by_rule`; trials: the settings on a pair of which a rule takes one.
    """

    name: str
    rows: tuple[Row, ...]
    pairs: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    by_rule: Mapping[str, list[np.ndarray]]
    base: Mapping[str, list[np.ndarray]]
    trials: int = 1

    def mean(self, rule: str) -> Interval:
        """Over pairs and seeds."""
        return mean_interval(self.by_rule[rule])

    @property
    def gains(self) -> bool:
        """Whether the oracle's interval lies above 0."""
        return above(self.mean(ORACLE))


def above(interval: Interval) -> bool:
    """Whether an interval lies above 0; one of a single seed does not."""
    return interval.mean - interval.half_width > 0


def require_gains(records: Sequence[Record]) -> list[MethodGains]:
    """As `gains_in`.

    Raises:
        UserError: also where there is none.
    """
    found = collect_gains(records)
    if not found:
        raise UserError(
            "no method here has checkpoints and a source only beside it on two pairs: name more folders by --also"
        )
    return found


def collect_gains(records: Sequence[Record]) -> list[MethodGains]:
    """Methods that adapt, with checkpoints to choose from and a source only on two pairs; the oracle's best one first.

    Where methods were searched, with the same budget as source only, these alone.

    Raises:
        UserError: for no records, or two results of one setting and seed.
    """
    found = _searched(records) or _as_run(records)
    if len({_protocol(one) for one in found}) > 1:  # a method under two protocols is two of them
        found = [one._replace(name=f"{one.name}, {_protocol(one)}") for one in found]
    return sorted(found, key=lambda one: -one.mean(ORACLE).mean)


def _protocol(gains: MethodGains) -> str:
    return str(gains.rows[0].first.result["protocol"])


def _searched(records: Sequence[Record]) -> list[MethodGains]:
    methods: dict[Any, dict[str, tuple[Search, Search]]] = {}
    for task, group in group_for_tables(records).items():
        searches = find_searches(group)
        for one in searches:
            base = matching_source_only(one, searches)
            if base and one is not base and not one.rows[0].is_bound:
                methods.setdefault((one.name, *sorted(one.fixed.items())), {})[task] = one, base
    several = [pairs for pairs in methods.values() if len(pairs) > 1]
    every = [one for pairs in several for pair in pairs.values() for one in pair]
    rules = [rule for rule in RULES if all(one.chosen_scores(rule) for one in every)]
    return [_gains_searched(pairs, rules) for pairs in several]


def _gains_searched(pairs: Mapping[str, tuple[Search, Search]], rules: Sequence[str]) -> MethodGains:
    searches = [one for one, _ in pairs.values()]
    scores = {task: (one.chosen_scores, base.chosen_scores) for task, (one, base) in pairs.items()}
    found = _gains(searches[0].name, [row for one in searches for row in one.rows], scores, rules)
    return found._replace(trials=max(one.budget[0] for one in searches))


def _as_run(records: Sequence[Record]) -> list[MethodGains]:
    _, lines = methods_over_pairs(records)
    choosing = [line for line in lines if line.competes and not line.first.is_source_only and _chooses(line)]
    rules = [rule for rule in RULES if all(_has(line, rule) for line in choosing)]
    return [made for line in choosing if len((made := _gains_of_line(line, rules)).pairs) > 1]


def _chooses(line: MethodOverPairs) -> bool:
    """A classical method has one result and no checkpoints."""
    return line.first.first.config["training"] is not None


def _has(line: MethodOverPairs, rule: str) -> bool:
    rows = [row for row in (*line.rows.values(), *line.bases.values()) if row is not None]
    return all(row.scores(rule) for row in rows)


def _gains_of_line(line: MethodOverPairs, rules: Sequence[str]) -> MethodGains:
    bases = {task: base for task, base in line.bases.items() if base is not None}
    scores = {task: (line.rows[task].scores, base.scores) for task, base in bases.items()}
    return _gains(line.name, list(line.rows.values()), scores, rules)


def _gains(
    name: str, rows: Sequence[Row], pairs: Mapping[str, tuple[Scores, Scores]], rules: Sequence[str]
) -> MethodGains:
    """Over the seeds that a method and source only, the second of each of `pairs`, both have under every rule."""
    given = [[of(rule) for of in pair for rule in rules] for pair in pairs.values()]
    seeds = tuple(tuple(common_seeds(*one)) for one in given)
    scored = [np.array(align_seeds(*one)) for one in given]
    gains = {rule: [one[i] - one[i + len(rules)] for one in scored] for i, rule in enumerate(rules)}
    base = {rule: [one[i + len(rules)] for one in scored] for i, rule in enumerate(rules)}
    return MethodGains(name, tuple(rows), tuple(pairs), seeds, gains, base)


def lost_gains(rule: str, found: Sequence[MethodGains]) -> list[float]:
    """Gain by the oracle minus gain by a rule, of every method on every pair, mean over seeds."""
    return [
        float(best.mean() - ours.mean())
        for one in found
        for best, ours in zip(one.by_rule[ORACLE], one.by_rule[rule], strict=True)
    ]


def mean_over_methods(rule: str, found: Sequence[MethodGains]) -> list[np.ndarray]:
    """For each pair, over the seeds that all methods have there, the mean gain of the methods.

    One source only stands behind all gains of a seed: methods are averaged within seeds, not counted as draws.
    """
    pairs = dict.fromkeys(task for one in found for task in one.pairs)
    by_pair = [[_by_seed(one, rule, task) for one in found if task in one.pairs] for task in pairs]
    return [np.mean(align_seeds(*group), axis=0) for group in by_pair]


def _by_seed(one: MethodGains, rule: str, task: str) -> dict[int, float]:
    pair = one.pairs.index(task)
    return dict(zip(one.seeds[pair], one.by_rule[rule][pair], strict=True))


def label_free_rules(found: Sequence[MethodGains]) -> list[str]:
    """The validators that judged every run."""
    return [rule for rule in found[0].by_rule if rule in VALIDATORS]
