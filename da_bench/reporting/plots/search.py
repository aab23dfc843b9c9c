"""Records -> what a search buys: target accuracy of what each rule takes, against the number of settings tried."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.plots.canvas import COLOURS, MARKERS, SOURCE_ONLY_STYLE, facts_of, grid, plain, sheet
from da_bench.reporting.tables.rows import group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.searches import Search, find_searches
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("im", "source_validation")
ACROSS = 2  # panels beside each other


def plot_search(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Best-so-far curves of every search, a panel each, of one scale on a task.

    A line a rule: two label-free ones, `rule`, if it is a third, and the oracle, dashed. The default's target accuracy
    after the last step is a line through the panel. None where there is no search.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    found = {task: find_searches(group) for task, group in group_for_tables(records).items()}
    every = [(task, one) for task, searches in found.items() for one in searches]
    if not every:
        return None
    said = (
        "target accuracy of the setting that a rule takes of so many, mean over seeds and over all orders in which "
        "they may be tried, the default first; the oracle chooses by target labels, which nobody has"
    )
    rows = [row for _, one in every for row in one.rows]
    figure, panels = sheet(facts_of(records, rows, said), [2.6] * math.ceil(len(every) / ACROSS), ACROSS)
    rules = list(dict.fromkeys(one for one in (*SHOWN, rule) if one not in (LAST, ORACLE)))
    for axes, (task, one) in zip(panels.flat, every, strict=False):
        _panel(axes, one, rules)
        axes.set_title(plain(f"{task}: {one.name}"), loc="left", fontsize=9)
    for axes in panels.flat[len(every) :]:
        axes.set_visible(False)
    _even([[axes for axes, (of, _) in zip(panels.flat, every, strict=False) if of == task] for task in found])
    return figure


def _panel(axes: "Axes", search: Search, rules: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    if search.default is not None and (scores := search.default.scores(LAST)):
        look: dict[str, Any] = {"label": "default, last step", "linewidth": 1, **SOURCE_ONLY_STYLE}
        axes.axhline(100 * float(np.mean(list(scores.values()))), **look)
    for i, rule in enumerate(rules):
        _line(axes, search.best_so_far(rule), RULES[rule], {"color": COLOURS[i], "marker": MARKERS[i], "markersize": 3})
    _line(axes, search.best_so_far(ORACLE), "oracle", {"color": "#000000", "linestyle": "--"})
    axes.set_xlabel(f"settings tried, each with {search.budget[1]} seeds", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=6.5, frameon=False)
    grid(axes, "both")


def _line(axes: "Axes", curve: np.ndarray | None, name: str, look: dict[str, Any]) -> None:
    if curve is not None:
        axes.plot(range(1, len(curve) + 1), 100 * curve, label=name, linewidth=1.3, **look)


def _even(groups: Sequence[Sequence["Axes"]]) -> None:
    """One scale in each group of panels."""
    for group in groups:
        limits = [axes.get_ylim() for axes in group]
        for axes in group:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
