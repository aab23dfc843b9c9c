"""Figure of what remains of each method's gain when a rule without target labels selects the checkpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.plots.canvas import (
    COLOURS,
    LEGEND_BESIDE,
    SOURCE_ONLY_STYLE,
    caption_of,
    escape_text,
    gain_axis_start,
    new_figure,
    style_axes,
    wrap,
)
from da_bench.reporting.stats.aggregates import ratio_interval
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.selection_gains import MethodGains, collect_gains, label_free_rules, mean_over_methods
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT_RULE = "im"
SELECTED_STYLE: dict[str, Any] = {"fmt": "s", "color": COLOURS[0], "markersize": 4, "linewidth": 1}
ORACLE_STYLE: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "color": "#000000", "markersize": 6}
LAST_STYLE: dict[str, Any] = {"marker": "|", "color": COLOURS[1], "markersize": 8}
ZERO_STYLE: dict[str, Any] = SOURCE_ONLY_STYLE


def plot_selection(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Gains over source only, mean over pairs: by the oracle, by a label-free rule with its interval, by the last step.

    Below, for each rule, the share of the oracle's gain that it retains, over all methods with a gain by the oracle.
    The label-free rule is `rule`, or information maximisation with a floor if `rule` is the last step or the oracle.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if no method has checkpoints and source only for comparison on two pairs.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    methods = collect_gains(records)
    if not methods:
        return None
    winners, rules = [method for method in methods if method.has_gain], [LAST, *label_free_rules(methods)]
    pairs = max(len(method.pairs) for method in methods)
    description = (
        f"mean over up to {pairs} pairs of gains over source only, both selected by the same rule; bars: 95 % "
        "intervals over seeds; the oracle selects by target labels, which are not available in practice"
    )
    heights = [0.8 + 0.17 * len(methods), *[0.8 + 0.17 * len(rules)] * bool(winners)]
    caption = caption_of(records, [row for method in methods for row in method.rows], description)
    figure, panels = new_figure(caption, heights)
    _draw_methods(panels[0, 0], methods, rule if rule not in (LAST, ORACLE) else DEFAULT_RULE)
    if winners:
        _draw_rules(panels[1, 0], winners, rules)
    return figure


def _draw_methods(axes: "Axes", methods: Sequence[MethodGains], rule: str) -> None:
    gains = {name: 100 * np.array([method.mean(name).mean for method in methods]) for name in (ORACLE, LAST, rule)}
    start = gain_axis_start(np.concatenate(list(gains.values())))
    for y, method in enumerate(methods):
        gain = gains[rule][y]
        if gain < start:
            axes.text(0.01, y, f"◂ {gain:+.1f}", fontsize=7, va="center", transform=axes.get_yaxis_transform())
            continue
        axes.plot([gains[ORACLE][y], gain], [y, y], color="#bbbbbb", linewidth=1, zorder=0)
        axes.errorbar(gain, y, xerr=100 * np.nan_to_num(method.mean(rule).half_width), **SELECTED_STYLE)
    for name, label, style in ((ORACLE, "oracle", ORACLE_STYLE), (LAST, "last step", LAST_STYLE)):
        shown = np.where(gains[name] < start, np.nan, gains[name])
        axes.plot(shown, range(len(methods)), linestyle="none", label=label, **style)
    axes.plot([], [], "s", color=COLOURS[0], markersize=4, label=RULES[rule])
    axes.axvline(0, linewidth=1, zorder=0, **ZERO_STYLE)
    axes.set_yticks(range(len(methods)), [wrap(method.name) for method in methods], fontsize=7)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_xlabel("gain over source only (percentage points of target accuracy)", fontsize=9)
    axes.legend(**LEGEND_BESIDE)
    style_axes(axes, "x")


def _draw_rules(axes: "Axes", winners: Sequence[MethodGains], rules: Sequence[str]) -> None:
    best = mean_over_methods(ORACLE, winners)
    shares = 100 * np.array([ratio_interval(mean_over_methods(rule, winners), best) for rule in rules])
    order = np.argsort(-shares[:, 0], kind="stable")
    for y, (share, low, high) in enumerate(shares[order]):
        bar = [[share - low], [high - share]] if np.isfinite([low, high]).all() else None
        axes.errorbar(share, y, xerr=bar, **SELECTED_STYLE)
    axes.axvline(100, linewidth=1, color="#000000", zorder=0)
    axes.set_yticks(range(len(rules)), [escape_text(RULES[rules[i]]) for i in order], fontsize=7)
    axes.set_ylim(len(rules) - 0.4, -0.6)
    axes.set_xlabel(
        f"share of the oracle's gain retained (%), over the {len(winners)} methods that have one", fontsize=9
    )
    style_axes(axes, "x")
