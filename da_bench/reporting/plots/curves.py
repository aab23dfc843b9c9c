"""Figure of training curves."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.reporting.plots.canvas import (
    LEGEND_BESIDE,
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
from da_bench.reporting.tables.rows import Row, build_rows, find_sweeps, group_for_tables
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8  # more lines in one panel are unreadable


def plot_curves(records: Sequence[Record]) -> "Figure":
    """Target and source accuracy over training steps, two panels for each task: mean and 95 % t band over seeds.

    If there are more than `MOST_LINES` methods, the settings of a sweep are left out (`plot_sweep` shows them), and
    only the methods with the best final accuracy are drawn. A line ends where a run diverged.

    Args:
        records: records of one or more tasks.

    Raises:
        UserError: no records, or two results of one setting and seed.
    """
    all_rows = {task: _rows_with_curves(group) for task, group in group_for_tables(records).items()}
    tasks = {task: _most_relevant(rows) for task, rows in all_rows.items()}
    heights = [max(2.6, 0.7 + 0.19 * len(rows)) for rows in tasks.values()]
    description = "bands: 95 % t interval over seeds"
    if tasks != all_rows:
        description += f"; with too many lines, settings of a sweep are left out, then all but the {MOST_LINES} best"
    figure, panels = new_figure(caption_of(records, itertools.chain(*tasks.values()), description), heights, 2)
    for (task, rows), (target, source) in zip(tasks.items(), panels, strict=True):
        for row, style in zip(rows, row_styles(rows), strict=True):
            _draw_curve(target, row, "target_accuracy", style)
            _draw_curve(source, row, "source_accuracy", style)
        target.set_title(task_title(task), loc="left", fontsize=10)
        _label_panels(target, source)
    return figure


def _rows_with_curves(records: Sequence[Record]) -> list[Row]:
    rows = build_rows(records)
    return [row for row in rows if row.runs and all(len(run.curves.get("step", [])) > 1 for run in row.runs)]


def _most_relevant(rows: list[Row]) -> list[Row]:
    swept = [row.name for _, family in find_sweeps(rows) for row in family] if len(rows) > MOST_LINES else []
    rows = [row for row in rows if row.name not in swept] or rows
    adapting = [row for row in rows if not (row.is_source_only or row.uses_target_labels)]
    best = sorted(adapting, key=_final_accuracy, reverse=True)[:MOST_LINES]
    return [row for row in rows if row not in adapting or row in best]


def _final_accuracy(row: Row) -> float:
    scores = row.scores("last").values()
    return float(np.mean(list(scores))) if scores else -math.inf


def _draw_curve(axes: "Axes", row: Row, quantity: str, style: Style) -> None:
    steps, values = row_curves(row, quantity)
    mean, half_width = _mean_and_band(100 * values)
    line: dict[str, Any] = {"markersize": 4, "markevery": max(1, len(steps) // 8), "linewidth": 1.3}
    axes.plot(steps, mean, label=row_label(row), **style._asdict(), **line)
    axes.fill_between(steps, mean - half_width, mean + half_width, color=style.color, alpha=0.15, linewidth=0)


def row_curves(row: Row, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The curves of a row's runs.

    Args:
        row: a row with n runs.
        quantity: name of a curve in a record, such as "target_accuracy".

    Returns:
        Steps [t] that all runs have, and the values [n, t] at these steps, NaN where a run has none.
    """
    runs = [dict(zip(run.curves["step"], run.curves[quantity], strict=True)) for run in row.runs]
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    return np.array(steps), np.array([[run[step] for step in steps] for run in runs], np.float64)


def _mean_and_band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half width [t] of values [n, t] over runs; NaN where a run has no value: the rest is no fair mean."""
    is_complete = np.isfinite(values).all(axis=0)
    intervals = [
        t_interval(column)[:2] if complete else (np.nan, np.nan)
        for column, complete in zip(values.T, is_complete, strict=True)
    ]
    mean, half_width = np.array(intervals).reshape(-1, 2).T
    return mean, np.where(is_complete, np.nan_to_num(half_width), np.nan)


def _label_panels(target: "Axes", source: "Axes") -> None:
    for axes, name in ((target, "target"), (source, "source")):
        axes.set_xlabel("training step", fontsize=9)
        axes.locator_params(axis="x", nbins=4)  # so that numbers of five digits fit
        axes.set_ylabel(f"{name} accuracy (%)", fontsize=9)
        limit_to_percent(axes.get_ylim, axes.set_ylim)
        style_axes(axes, "both")
    lines, names = target.get_legend_handles_labels()
    if names:
        source.legend(lines, names, **LEGEND_BESIDE)
