"""How much of a gain that target labels would choose is left when a rule without target labels chooses.

A gain is over source only on the same pair and seeds, both reported by the same rule. What is left of the oracle's gain
is a ratio of means over pairs; the pairs are those that they are, so only seeds vary. A rule chooses the checkpoint of
every run, and where methods were searched also their settings, and source only's.
"""

from collections.abc import Sequence

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.stats.aggregates import mean_interval, ratio_interval
from da_bench.reporting.stats.correlation import kendall
from da_bench.reporting.stats.intervals import Interval
from da_bench.reporting.tables.cells import DASH, MISSING
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.search_tables import CHOICE_NOTE
from da_bench.reporting.tables.selection_gains import MethodGains, above, lost_gains, mean_over_methods, require_gains
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

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
