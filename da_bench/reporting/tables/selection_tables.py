"""Tables of how much of a gain remains if a rule without target labels selects instead of the oracle.

A gain is the difference from source only on the same pair and seeds, both selected by the same rule. The remaining
share of the oracle's gain is a ratio of means over pairs. The pairs are fixed, so only seeds vary. A rule selects the
checkpoint of every run and, if methods were searched, the settings of the method and of source only.
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
from da_bench.reporting.tables.selection_gains import (
    MethodGains,
    is_above_zero,
    lost_gains,
    mean_over_methods,
    require_gains,
)
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

MEAN = ("mean", "half_width", "n")
SHARE = ("share", "low", "high")
NOTE = (
    "Gain: mean over pairs of the mean over seeds of target accuracy minus that of source only on the same seeds, both "
    "under the same rule, in points ± half width of the 95 % t interval over seeds (Welch and Satterthwaite; the pairs "
    "are fixed). Remaining: this gain as a share of the oracle's [95 % interval by Fieller], if the interval of the "
    "oracle's gain is above 0. The oracle selects by target labels, which are not available in practice."
)
SEARCHED_NOTE = (
    f"Each method, source only included, was run at {{}} settings on a pair. {CHOICE_NOTE} The intervals do not "
    "account for the selection of a setting."
)
RULE_NOTE = (
    "Over all methods of the table above. Source only: its target accuracy in percent under the rule; a poor selection "
    "here makes gains look large. Accuracy of winners: target accuracy of the methods whose gain under the oracle is "
    "above 0. Remaining: over those methods. Gain, loss: number of methods whose interval lies above or below 0, not "
    "corrected for multiple comparisons. Lost: gain under the oracle minus gain under the rule, in points, mean and "
    "worst over methods and pairs. Order: Kendall's tau between the methods' gains under the rule and the oracle."
)


def selection_tables(records: Sequence[Record], rules: Sequence[str], rule: str = "im") -> list[Table]:
    """Gains by method under several rules with the remaining share, and the same by rule.

    Args:
        records: records of two or more tasks.
        rules: selection rules with a column.
        rule: the rule whose share of the oracle's gain is shown.

    Raises:
        UserError: an unknown rule, or as `require_gains`.
    """
    for name in (*rules, rule):
        check_rule(name)
    gains = require_gains(records)
    pairs = dict.fromkeys(task for method in gains for task in method.pairs)
    trials = sorted({method.trials for method in gains})
    searched = [SEARCHED_NOTE.format(" or ".join(map(str, trials)))] if trials != [1] else []
    origin = provenance([record for record in records if record.config["task"] in pairs])
    notes = (f"Pairs: {join_unique(pairs)}.", NOTE, *searched, *origin)
    return [_table_by_method(gains, rules, rule, notes), _table_by_rule(gains)]


def _table_by_method(gains: Sequence[MethodGains], rules: Sequence[str], rule: str, notes: tuple[str, ...]) -> Table:
    shown = [name for name in RULES if name in gains[0].by_rule and name in (*rules, rule, ORACLE, LAST)]
    columns = (
        Column("method", "Method"),
        Column("pairs", "Pairs", ("n",)),
        *(Column(name, f"Gain:\n{_title(name)}", MEAN) for name in shown),
        Column("left", f"Remaining:\n{RULES[rule]}", SHARE),
    )
    rows = []
    for method in gains:
        has_share = method.has_gain and rule in method.by_rule
        rows.append(
            (
                Cell(method.name),
                Cell(str(len(method.pairs)), (len(method.pairs),)),
                *(_gain_cell(method.mean(name), _mark(name)) for name in shown),
                share_cell(method.by_rule[rule], method.by_rule[ORACLE]) if has_share else DASH,
            )
        )
    return Table("Remaining gains, by method", columns, tuple(rows), notes)


def _title(rule: str) -> str:
    return RULES[rule] + ("*" if rule == ORACLE else "")


def _mark(rule: str) -> Mark:
    return "oracle" if rule == ORACLE else ""


def _gain_cell(interval: Interval, mark: Mark = "") -> Cell:
    spread = "" if np.isnan(interval.half_width) else f" ± {100 * interval.half_width:.1f}"
    return Cell(f"{100 * interval.mean:+.1f}{spread}", tuple(interval), mark)


def share_cell(gains: Sequence[np.ndarray], oracle_gains: Sequence[np.ndarray]) -> Cell:
    """Remaining share of the oracle's gain: "87 % [75, 98]"; "[–]" if the interval is unbounded."""
    share, low, high = ratio_interval(gains, oracle_gains)
    interval = f"[{100 * low:.0f}, {100 * high:.0f}]" if np.isfinite([low, high]).all() else "[–]"
    return Cell(f"{100 * share:.0f} % {interval}", (share, low, high))


def _table_by_rule(gains: Sequence[MethodGains]) -> Table:
    columns = (
        Column("rule", "Rule"),
        Column("base", "Source only", ("mean",)),
        Column("reached", "Accuracy\nof winners", ("mean",)),
        Column("gain", "Mean gain", MEAN),
        Column("left", "Remaining", SHARE),
        Column("gaining", "Gain", ("n", "of")),
        Column("losing", "Loss", ("n", "of")),
        Column("lost", "Lost:\nmean", ("mean",)),
        Column("worst", "Lost:\nworst", ("worst",)),
        Column("order", "Order", ("tau",)),
    )
    winners = [method for method in gains if method.has_gain]
    rows = tuple(_rule_row(rule, gains, winners) for rule in RULES if rule in gains[0].by_rule)
    return Table("Remaining gains, by rule", columns, rows, (RULE_NOTE,))


def _rule_row(rule: str, gains: Sequence[MethodGains], winners: Sequence[MethodGains]) -> tuple[Cell, ...]:
    mark = _mark(rule)
    means = [method.mean(rule) for method in gains]
    gaining = sum(map(is_above_zero, means))
    losing = sum(is_above_zero(interval._replace(mean=-interval.mean)) for interval in means)
    lost = np.array(lost_gains(rule, gains))
    tau = kendall(*(np.array([method.mean(name).mean for method in gains]) for name in (rule, ORACLE)))
    reached = [[*map(np.add, method.base[rule], method.by_rule[rule])] for method in winners]
    share = share_cell(mean_over_methods(rule, winners), mean_over_methods(ORACLE, winners)) if winners else DASH
    return (
        Cell(_title(rule), (), mark),
        _accuracy_cell([method.base[rule] for method in gains], mark),
        _accuracy_cell(reached, mark),
        _gain_cell(mean_interval(mean_over_methods(rule, gains)), mark),
        share,
        Cell(f"{gaining} of {len(gains)}", (gaining, len(gains)), mark),
        Cell(f"{losing} of {len(gains)}", (losing, len(gains)), mark),
        Cell(f"{100 * lost.mean():.1f}", (float(lost.mean()),), mark),
        Cell(f"{100 * lost.max():.1f}", (float(lost.max()),), mark),
        Cell(f"{tau:+.2f}", (tau,), mark) if np.isfinite(tau) else MISSING,
    )


def _accuracy_cell(by_method: Sequence[list[np.ndarray]], mark: Mark) -> Cell:
    """Mean over methods of the means over pairs."""
    mean = float(np.mean([mean_interval(pairs).mean for pairs in by_method])) if by_method else np.nan
    return Cell(f"{100 * mean:.1f}", (mean,), mark) if np.isfinite(mean) else DASH
