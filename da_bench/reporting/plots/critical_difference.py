"""Figure of mean ranks over pairs of domains, with the methods that do not differ significantly."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import COLOURS, caption_of, new_figure
from da_bench.reporting.plots.heat_map import short_name
from da_bench.reporting.stats.rank_tests import (
    MIN_PAIRS,
    SIGNIFICANCE_LEVEL,
    cliques,
    mean_ranks,
    pairwise_holm,
    smallest_p,
)
from da_bench.reporting.tables.over_pairs import mean_accuracies, methods_on_every_pair, methods_over_pairs
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 15  # more bars are unreadable


def plot_critical_difference(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Mean ranks over pairs, 1 the best; a bar connects methods that do not differ pairwise, with a dot at each.

    Methods differ by Wilcoxon's signed-rank test over pairs, with Holm's correction over all pairs of methods.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None below six pairs, where no difference can be significant, or with fewer than two methods on
        every pair.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.

    References:
        The diagram: Demšar, JMLR 2006. The test: Benavoli, Corani and Mangili, JMLR 2016.
    """
    check_rule(rule)
    tasks, methods = methods_over_pairs(records)
    methods = methods_on_every_pair(tasks, methods, rule)
    if len(tasks) < MIN_PAIRS or len(methods) < 2:
        return None
    accuracy = np.array([mean_accuracies(method, tasks, rule) for method in methods])
    ranks = mean_ranks(accuracy)
    order = np.argsort(ranks, kind="stable")
    groups = cliques(pairwise_holm(accuracy[order]) >= SIGNIFICANCE_LEVEL)
    drawn = sorted(sorted(groups, key=len, reverse=True)[:MOST_BARS])
    rows = [row for method in methods for row in method.rows.values()]
    caption = caption_of(records, rows, _description(len(tasks), len(methods), len(groups), rule))
    figure, panels = new_figure(caption, [0.9 + 0.16 * (len(drawn) + (len(methods) + 1) // 2)])
    _draw(panels[0, 0], ranks[order], [short_name(methods[i].name) for i in order], drawn)
    return figure


def _description(pairs: int, methods: int, bars: int, rule: str) -> str:
    text = (
        f"mean rank over {pairs} pairs, 1 is best; a bar connects methods (its dots) of which no two differ "
        "(Wilcoxon's signed-rank test over pairs, Holm over all pairs of methods, 5 %)"
    )
    if bars > MOST_BARS:
        text += f"; only the {MOST_BARS} longest of {bars} bars are drawn: methods without a bar may not differ either"
    if smallest_p(pairs) * methods * (methods - 1) / 2 >= SIGNIFICANCE_LEVEL:
        text += "; with so many methods there are too few pairs for any two to differ"
    return f"{text}; rule: {RULES[rule]}"


def _draw(axes: "Axes", ranks: np.ndarray, names: Sequence[str], groups: Sequence[tuple[int, ...]]) -> None:
    """Draw ascending ranks [k]; the better half is named on the left. One unit of y is a line of text."""
    half, names_top = (len(ranks) + 1) // 2, -(len(groups) + 1.0)
    first, last = max(1.0, np.floor(ranks[0])), np.ceil(ranks[-1])
    width = max(float(last - first), 1.0)
    axes.plot((first, last), (0, 0), color="black", linewidth=1)
    for tick in np.unique(np.linspace(first, last, min(int(width) + 1, 12)).round()):
        axes.plot((tick, tick), (0, 0.35), color="black", linewidth=1)
        axes.text(tick, 0.5, f"{tick:.0f}", ha="center", va="bottom", fontsize=8)
    for i, (rank, name) in enumerate(zip(ranks, names, strict=True)):
        is_left = i < half
        y = names_top - (i if is_left else len(ranks) - 1 - i)
        x = first - 0.03 * width if is_left else last + 0.03 * width
        axes.plot((rank, rank, x), (0, y, y), color="#666666", linewidth=0.7)
        alignment: Any = "right" if is_left else "left"
        axes.text(x, y, f" {name} ({rank:.1f}) ", ha=alignment, va="center", fontsize=7)
    for i, group in enumerate(groups):
        members = ranks[list(group)]
        axes.plot(members[[0, -1]], (-1.0 - i,) * 2, color=COLOURS[0], linewidth=2.5, solid_capstyle="round")
        axes.plot(members, [-1.0 - i] * len(members), "o", color=COLOURS[0], markersize=4)
    axes.set_xlim(first - 0.9 * width, last + 0.9 * width)
    axes.set_ylim(names_top - half, 2)
    axes.axis("off")
