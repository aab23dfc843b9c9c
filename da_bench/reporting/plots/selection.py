"""Records -> what is left of every method's gain by the oracle when a rule without target labels chooses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.plots.canvas import (
    BESIDE,
    COLOURS,
    SOURCE_ONLY_STYLE,
    facts_of,
    grid,
    label,
    lowest,
    plain,
    sheet,
)
from da_bench.reporting.stats.aggregates import ratio_interval
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.selection_gains import MethodGains, collect_gains, label_free_rules, mean_over_methods
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT = "im"
OPEN: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "color": "#000000", "markersize": 6}
CHOSEN: dict[str, Any] = {"fmt": "s", "color": COLOURS[0], "markersize": 4, "linewidth": 1}
DASHED: dict[str, Any] = SOURCE_ONLY_STYLE


def plot_selection(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Gains over source only, mean over pairs, by method: the oracle's, a label-free rule's with its interval, last's.

    Below it, by rule, what is left of the oracle's gain over all methods that it gives one. The label-free rule is
    `rule`, or where that is none, information maximisation with a floor. None where no method has checkpoints and a
    source only beside it on two pairs.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    found = collect_gains(records)
    if not found:
        return None
    shown = rule if rule not in (LAST, ORACLE) else DEFAULT
    winners, rules = [one for one in found if one.gains], [LAST, *label_free_rules(found)]
    rows = [row for one in found for row in one.rows]
    heights = [0.8 + 0.17 * len(found), *[0.8 + 0.17 * len(rules)] * bool(winners)]
    figure, panels = sheet(facts_of(records, rows, _said(max(len(one.pairs) for one in found))), heights, 1)
    _methods(panels[0, 0], found, shown)
    if winners:
        _rules(panels[1, 0], winners, rules)
    return figure


def _said(pairs: int) -> str:
    return (
        f"mean over up to {pairs} pairs of gains over source only, both chosen by the same rule; bars: 95 % intervals "
        "over seeds; the oracle chooses by target labels, which nobody has"
    )


def _methods(axes: "Axes", found: Sequence[MethodGains], rule: str) -> None:
    looks: dict[str, dict[str, Any]] = {
        ORACLE: {**OPEN, "label": "oracle"},
        LAST: {"marker": "|", "color": COLOURS[1], "markersize": 8, "label": "last step"},
    }
    gains = {which: 100 * np.array([one.mean(which).mean for one in found]) for which in (ORACLE, LAST, rule)}
    low = lowest(np.concatenate(list(gains.values())))
    for place, one in enumerate(found):
        if gains[rule][place] < low:
            beside = axes.get_yaxis_transform()
            axes.text(0.01, place, f"◂ {gains[rule][place]:+.1f}", fontsize=7, va="center", transform=beside)
            continue
        axes.plot([gains[ORACLE][place], gains[rule][place]], [place] * 2, color="#bbbbbb", linewidth=1, zorder=0)
        axes.errorbar(gains[rule][place], place, xerr=100 * np.nan_to_num(one.mean(rule).half_width), **CHOSEN)
    for which, look in looks.items():
        axes.plot(np.where(gains[which] < low, np.nan, gains[which]), range(len(found)), linestyle="none", **look)
    axes.plot([], [], "s", color=COLOURS[0], markersize=4, label=RULES[rule])
    axes.axvline(0, linewidth=1, zorder=0, **DASHED)
    axes.set_yticks(range(len(found)), [label(one.name) for one in found], fontsize=7)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlabel("gain over source only (points of target accuracy)", fontsize=9)
    axes.legend(**BESIDE)
    grid(axes, "x")


def _rules(axes: "Axes", winners: Sequence[MethodGains], rules: Sequence[str]) -> None:
    best = mean_over_methods(ORACLE, winners)
    shares = 100 * np.array([ratio_interval(mean_over_methods(rule, winners), best) for rule in rules])
    order = np.argsort(-shares[:, 0], kind="stable")
    for place, (share, low, high) in enumerate(shares[order]):
        bar = [[share - low], [high - share]] if np.isfinite([low, high]).all() else None
        axes.errorbar(share, place, xerr=bar, **CHOSEN)
    axes.axvline(100, linewidth=1, color="#000000", zorder=0)
    axes.set_yticks(range(len(rules)), [plain(RULES[rules[i]]) for i in order], fontsize=7)
    axes.set_ylim(len(rules) - 0.4, -0.6)
    axes.set_xlabel(f"left of the oracle's gain (%), over the {len(winners)} methods that it gives one", fontsize=9)
    grid(axes, "x")
