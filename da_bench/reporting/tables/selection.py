"""How much of a gain that target labels would choose is left when a rule without target labels chooses.

A gain is over source only on the same pair and seeds, both reported by the same rule. What is left of the oracle's gain
is a ratio of means over pairs; the pairs are those that they are, so only seeds vary. A rule chooses the checkpoint of
every run, and where methods were searched also their settings, and source only's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS
from da_bench.reporting.stats.over_pairs import mean_interval, ratio_interval
from da_bench.reporting.stats.statistics import Interval, kendall
from da_bench.reporting.tables.cells import DASH, MISSING
from da_bench.reporting.tables.pairs import MethodOverPairs, methods_over_pairs
from da_bench.reporting.tables.rows import (
    Row,
    align_seeds,
    check_rule,
    common_seeds,
    group_for_tables,
    join_unique,
    provenance,
)
from da_bench.reporting.tables.search import CHOICE_NOTE, Search, find_searches, matching_source_only
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

Scores = Callable[[str], dict[int, float]]  # rule -> target accuracies by seed
MEAN = ("mean", "half_width", "n")
SHARE = ("share", "low", "high")
NOTE = (
    "Gain: mean over pairs of the mean over seeds of target accuracy minus source only's on the same seeds, both by "
    "the same rule, in points ± half width of the 95 % t interval over seeds (Welch and Satterthwaite over the "
    "pairs, which are not drawn). Left: this gain as a share of the oracle's [95 % interval by Fieller], where the "
    "oracle's is above 0 by its interval. The oracle cheats: it chooses by target labels."
)
SEARCHED_NOTE = (
    f"Each method was run at {{}} settings on a pair, source only too. {CHOICE_NOTE} "
    "No interval holds the choice of a setting."
)
RULE_NOTE = (
    "Over all methods of the table above. Source only: its target accuracy, percent, as the rule chooses it; chosen "
    "badly it makes gains look large. Where gained: target accuracy of the methods whose gain by the oracle is above "
    "0; left: over those. Gain, lose: how many methods' interval lies above and below 0, not corrected for their "
    "number. Lost: gain by the oracle minus gain by the rule, in points, mean and worst over methods and pairs. Order:"
    " Kendall's tau between the methods' gains by the rule and by the oracle."
)


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
    """A shallow method has one result and no checkpoints."""
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


def selection_tables(records: Sequence[Record], rules: Sequence[str], rule: str = "im") -> list[Table]:
    """(gains by method under each of `rules` and what is left of the oracle's by `rule`; the same by rule).

    Raises:
        UserError: as `gains_of`, or for an unknown rule.
    """
    for one in (*rules, rule):
        check_rule(one)
    found = require_gains(records)
    pairs = dict.fromkeys(task for one in found for task in one.pairs)
    trials = sorted({one.trials for one in found})
    searched = [SEARCHED_NOTE.format(" or ".join(map(str, trials)))] if trials != [1] else []
    origin = provenance([one for one in records if one.config["task"] in pairs])
    notes = (f"Pairs: {join_unique(pairs)}.", NOTE, *searched, *origin)
    return [_by_method(found, rules, rule, notes), _by_rule(found)]


def _by_method(found: Sequence[MethodGains], rules: Sequence[str], rule: str, notes: tuple[str, ...]) -> Table:
    shown = [one for one in RULES if one in found[0].by_rule and one in (*rules, rule, ORACLE, LAST)]
    columns = (
        Column("method", "Method"),
        Column("pairs", "Pairs", ("n",)),
        *(Column(one, f"Gain:\n{RULES[one]}{'*' * (one == ORACLE)}", MEAN) for one in shown),
        Column("left", f"Left of it:\n{RULES[rule]}", SHARE),
    )
    rows = [
        (
            Cell(one.name),
            Cell(str(len(one.pairs)), (len(one.pairs),)),
            *(_gain_cell(one.mean(name), "oracle" if name == ORACLE else "") for name in shown),
            share_cell(one.by_rule[rule], one.by_rule[ORACLE]) if one.gains and rule in one.by_rule else DASH,
        )
        for one in found
    ]
    return Table("What is left of the gains, by method", columns, tuple(rows), notes)


def _gain_cell(interval: Interval, mark: str = "") -> Cell:
    spread = "" if np.isnan(interval.half_width) else f" ± {100 * interval.half_width:.1f}"
    return Cell(f"{100 * interval.mean:+.1f}{spread}", tuple(interval), mark)


def _accuracy_cell(of_methods: Sequence[list[np.ndarray]], mark: str) -> Cell:
    """Mean over methods of the means over pairs."""
    mean = float(np.mean([mean_interval(pairs).mean for pairs in of_methods])) if of_methods else np.nan
    return Cell(f"{100 * mean:.1f}", (mean,), mark) if np.isfinite(mean) else DASH


def share_cell(gains: Sequence[np.ndarray], of: Sequence[np.ndarray]) -> Cell:
    """What is left: "87 % [75, 98]"; "[–]" where the interval is not bounded."""
    share, low, high = ratio_interval(gains, of)
    shown = f"[{100 * low:.0f}, {100 * high:.0f}]" if np.isfinite([low, high]).all() else "[–]"
    return Cell(f"{100 * share:.0f} % {shown}", (share, low, high))


def _by_rule(found: Sequence[MethodGains]) -> Table:
    columns = (
        Column("rule", "Rule"),
        Column("base", "Source only", ("mean",)),
        Column("reached", "Where\ngained", ("mean",)),
        Column("gain", "Mean gain", MEAN),
        Column("left", "Left", SHARE),
        Column("gaining", "Gain", ("n", "of")),
        Column("losing", "Lose", ("n", "of")),
        Column("lost", "Lost:\nmean", ("mean",)),
        Column("worst", "Lost:\nworst", ("worst",)),
        Column("order", "Order", ("tau",)),
    )
    winners = [one for one in found if one.gains]
    rows = tuple(_rule_row(rule, found, winners) for rule in RULES if rule in found[0].by_rule)
    return Table("What is left of the gains, by rule", columns, rows, (RULE_NOTE,))


def _rule_row(rule: str, found: Sequence[MethodGains], winners: Sequence[MethodGains]) -> tuple[Cell, ...]:
    means = [one.mean(rule) for one in found]
    lost = np.array(lost_gains(rule, found))
    tau = kendall(*(np.array([one.mean(name).mean for one in found]) for name in (rule, ORACLE)))
    gaining, losing = sum(map(above, means)), sum(above(one._replace(mean=-one.mean)) for one in means)
    mark = "oracle" if rule == ORACLE else ""
    return (
        Cell(RULES[rule] + "*" * (rule == ORACLE), (), mark),
        _accuracy_cell([one.base[rule] for one in found], mark),
        _accuracy_cell([[*map(np.add, one.base[rule], one.by_rule[rule])] for one in winners], mark),
        _gain_cell(mean_interval(mean_over_methods(rule, found)), mark),
        share_cell(mean_over_methods(rule, winners), mean_over_methods(ORACLE, winners)) if winners else DASH,
        Cell(f"{gaining} of {len(found)}", (gaining, len(found)), mark),
        Cell(f"{losing} of {len(found)}", (losing, len(found)), mark),
        Cell(f"{100 * lost.mean():.1f}", (float(lost.mean()),), mark),
        Cell(f"{100 * lost.max():.1f}", (float(lost.max()),), mark),
        Cell(f"{tau:+.2f}", (tau,), mark) if np.isfinite(tau) else MISSING,
    )


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
