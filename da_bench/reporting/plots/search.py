"""Figure of what a hyper-parameter search gains: accuracy of the selected setting over the number of settings tried."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.plots.canvas import (
    COLOURS,
    MARKERS,
    SOURCE_ONLY_STYLE,
    caption_of,
    new_figure,
    style_axes,
    task_title,
    wrap,
)
from da_bench.reporting.tables.rows import group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.searches import Search, find_searches
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEFAULT_RULES = ("im", "source_validation")
COLUMNS = 2  # panels in each row
TITLE_LETTERS = 46


def plot_search(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Best-so-far curves of every search, one panel each, with the same scale on a task.

    There is a line for each of two label-free rules, for `rule` if it is a third, and for the oracle (dashed). The
    default setting after the last step is a horizontal line.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if there is no search.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    searches = [(task, search) for task, group in group_for_tables(records).items() for search in find_searches(group)]
    if not searches:
        return None
    description = (
        "target accuracy of the setting that a rule selects among the settings tried, mean over seeds and over all "
        "orders of trials that begin with the default; the oracle selects by target labels, which are not available in "
        "practice"
    )
    caption = caption_of(records, [row for _, search in searches for row in search.rows], description)
    figure, panels = new_figure(caption, [2.6] * math.ceil(len(searches) / COLUMNS), COLUMNS)
    rules = list(dict.fromkeys(name for name in (*DEFAULT_RULES, rule) if name not in (LAST, ORACLE)))
    axes_of_tasks: dict[str, list[Axes]] = {}
    for axes, (task, search) in zip(panels.flat, searches, strict=False):
        _draw_panel(axes, search, rules)
        axes.set_title(wrap(f"{task_title(task)}, {search.name}", TITLE_LETTERS), loc="left", fontsize=9)
        axes_of_tasks.setdefault(task, []).append(axes)
    for axes in panels.flat[len(searches) :]:
        axes.set_visible(False)
    for group in axes_of_tasks.values():
        limits = [axes.get_ylim() for axes in group]
        for axes in group:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    return figure


def _draw_panel(axes: "Axes", search: Search, rules: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    if search.default is not None and (scores := search.default.scores(LAST)):
        style: dict[str, Any] = {"label": "default setting, last step", "linewidth": 1, **SOURCE_ONLY_STYLE}
        axes.axhline(100 * float(np.mean(list(scores.values()))), **style)
    for i, rule in enumerate(rules):
        style = {"color": COLOURS[i], "marker": MARKERS[i], "markersize": 3}
        _draw_line(axes, search.best_so_far(rule), RULES[rule], style)
    _draw_line(axes, search.best_so_far(ORACLE), "oracle", {"color": "#000000", "linestyle": "--"})
    axes.set_xlabel(f"settings tried, each with {search.budget[1]} seeds", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=6.5, frameon=False)
    style_axes(axes, "both")


def _draw_line(axes: "Axes", curve: np.ndarray | None, name: str, style: dict[str, Any]) -> None:
    if curve is not None:
        axes.plot(range(1, len(curve) + 1), 100 * curve, label=name, linewidth=1.3, **style)
