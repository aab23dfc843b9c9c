"""Figure of the target accuracy of every method."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import (
    BOUND_STYLE,
    SOURCE_ONLY_STYLE,
    Style,
    caption_of,
    limit_to_percent,
    new_figure,
    row_label,
    row_styles,
    style_axes,
    task_title,
)
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_accuracy(records: Sequence[Record], rule: str = "last") -> "Figure":
    """Target accuracy of every method, one panel for each task: mean, 95 % t interval, and a small dot for each seed.

    Source only and the upper bound are vertical lines too. Methods without runs are named only.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    heights = [0.9 + 0.3 * len(rows) for rows in tasks.values()]
    description = f"bars: 95 % t interval over seeds; dashed: source only; dotted: upper bound; rule: {RULES[rule]}"
    figure, panels = new_figure(caption_of(records, itertools.chain(*tasks.values()), description), heights)
    for (task, rows), (axes,) in zip(tasks.items(), panels, strict=True):
        _draw_panel(axes, rows, rule)
        axes.set_title(task_title(task), loc="left", fontsize=10)
    return figure


def _draw_panel(axes: "Axes", rows: list[Row], rule: str) -> None:
    for y, (row, style) in enumerate(zip(rows, row_styles(rows), strict=True)):
        values = 100 * np.array(list(row.scores(rule).values()))
        if len(values):
            _draw_row(axes, values, y, style)
        if len(values) and (row.is_source_only or row.uses_target_labels):
            axes.axvline(
                values.mean(), zorder=0, linewidth=1, **(BOUND_STYLE if row.uses_target_labels else SOURCE_ONLY_STYLE)
            )
    axes.set_yticks(range(len(rows)), [row_label(row, _remark(row)) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("target accuracy (%)", fontsize=9)
    limit_to_percent(axes.get_xlim, axes.set_xlim)
    style_axes(axes, "x")


def _remark(row: Row) -> str:
    if not row.runs:
        return " (failed)" if row.failed else " (skipped)"
    return f" ({row.diverged}†)" if row.diverged else ""


def _draw_row(axes: "Axes", values: np.ndarray, y: float, style: Style) -> None:
    """Draw values [n] in percent: mean and interval on the line, seeds below it."""
    mean, half_width, n = t_interval(values)
    offsets = np.linspace(0.15, 0.35, n) if n > 1 else np.array([0.25])
    axes.scatter(values, y + offsets, s=6, color=style.color, alpha=0.5, linewidths=0)
    axes.errorbar(mean, y, xerr=half_width, fmt=style.marker, color=style.color, markersize=5, capsize=3, linewidth=1.5)
