"""Figure of the accuracy over the cost of a run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import caption_of, new_figure, row_styles, style_axes, wrap
from da_bench.reporting.tables.cells import mean_of_known, seconds_per_run
from da_bench.reporting.tables.over_pairs import (
    MethodOverPairs,
    mean_accuracies,
    methods_on_every_pair,
    methods_over_pairs,
)
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_METHODS = 60  # that fit into a legend
# Offsets of a number from its point: distances in dots, and directions in the order of trial.
DISTANCES = (9, 15, 21, 30, 40, 52, 66)
DIRECTIONS = [(1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1.4), (1.6, 0), (0, -1.4), (-1.6, 0)]
CLEARANCE = 11  # dots between a number and anything else
THREAD_FROM = 12  # offset in points; beyond it, a line connects a number with its point


def plot_cost(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy over seconds per run, both means over pairs, of the methods on every pair.

    A line connects the methods that no other beats at the same cost or less. Methods far below the others are drawn
    at the lower edge, with their accuracy in the legend.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if no method is on two pairs, or no time is known.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks, methods = methods_over_pairs(records)
    timed = []
    for method in methods_on_every_pair(tasks, methods, rule):
        seconds = mean_of_known([seconds_per_run(row) for row in method.rows.values()])
        if seconds:
            timed.append((method, (seconds, 100 * mean_accuracies(method, tasks, rule).mean())))
    if not timed:
        return None
    timed = sorted(timed, key=lambda item: -item[1][1])[:MOST_METHODS]
    best, points = [method for method, _ in timed], np.array([point for _, point in timed], np.float64)
    description = (
        f"means over {len(tasks)} pairs; seconds per run without compilation, shared by runs that ran together; line: "
        f"no other method is better at the same cost; rule: {RULES[rule]}"
    )
    if points[:, 1].min() < accuracy_axis_start(points[:, 1]):
        description += "; methods with an accuracy in the legend lie below the axis"
    rows = [row for method in best for row in method.rows.values()]
    figure, panels = new_figure(caption_of(records, rows, description), [max(3.2, 0.5 + 0.125 * len(best))])
    shown = _draw_methods(panels[0, 0], points, best)
    figure.draw_without_rendering()
    _draw_numbers(panels[0, 0], shown)
    return figure


def _draw_methods(axes: "Axes", points: np.ndarray, methods: Sequence[MethodOverPairs]) -> np.ndarray:
    """Draw (seconds, accuracy) [n, 2], best first; return the points as drawn."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    lowest = accuracy_axis_start(points[:, 1])
    shown = np.column_stack([points[:, 0], np.maximum(points[:, 1], lowest)])
    styles = row_styles([method.first for method in methods])
    for i, (method, style) in enumerate(zip(methods, styles, strict=True)):
        remark = f" ({points[i, 1]:.0f} %)" if points[i, 1] < lowest else ""
        name = wrap(f"{i + 1}  {method.name}{remark}")
        axes.plot(*shown[i], style.marker, color=style.color, markersize=5, linestyle="none", label=name)
    axes.plot(*points[pareto_front(points)].T, color="#999999", linewidth=1, zorder=0, drawstyle="steps-post")
    axes.set_xlabel("seconds per run", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    style_axes(axes, "both")
    axes.margins(0.08, 0.08)
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelspacing=0.25)
    return shown


def accuracy_axis_start(accuracies: np.ndarray) -> float:
    """Where an axis of accuracies [n] in percent begins, so that methods that fail do not flatten the others.

    It is the lowest accuracy, or as far below the median as four times the best is above it if that is higher.
    """
    median, best = float(np.median(accuracies)), float(accuracies.max())
    return max(float(accuracies.min()), median - 4 * max(best - median, 2.5))


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Indices of the points (cost, gain) [n, 2] that no other beats at the same cost or less, by rising cost."""
    order = np.lexsort((-points[:, 1], points[:, 0]))
    highest = np.maximum.accumulate(points[order, 1])
    return order[np.concatenate([[True], highest[1:] > highest[:-1]])]


def _draw_numbers(axes: "Axes", points: np.ndarray) -> None:
    """Draw 1 .. n beside points [n, 2] of a panel whose layout is fixed, each in the first free place around it."""
    positions = axes.transData.transform(points)
    occupied = list(positions)
    for number, (point, position) in enumerate(zip(points, positions, strict=True), 1):
        candidates = [position + distance * np.array(direction) for distance in DISTANCES for direction in DIRECTIONS]
        gaps = [min(float(np.hypot(*(candidate - other))) for other in occupied) for candidate in candidates]
        free = [candidate for candidate, gap in zip(candidates, gaps, strict=True) if gap > CLEARANCE]
        place = free[0] if free else candidates[int(np.argmax(gaps))]
        occupied.append(place)
        offset = (place - position) * 72 / axes.figure.dpi
        thread = {"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.5} if np.hypot(*offset) > THREAD_FROM else None
        style: dict[str, Any] = {"fontsize": 6, "ha": "center", "va": "center", "arrowprops": thread}
        axes.annotate(str(number), point, offset, textcoords="offset points", **style)
