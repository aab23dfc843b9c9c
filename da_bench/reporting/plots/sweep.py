"""Figure of the accuracy over the values of one field."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import (
    BOUND_STYLE,
    COLOURS,
    LEGEND_BESIDE,
    SOURCE_ONLY_STYLE,
    caption_of,
    escape_text,
    limit_to_percent,
    new_figure,
    style_axes,
    task_title,
)
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.naming import format_setting, run_settings
from da_bench.reporting.tables.rows import (
    Row,
    build_rows,
    find_sweeps,
    group_for_tables,
    reference_row,
    upper_bound_row,
)
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_sweep(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy over a field, for each task and method that was run at three or more values of one float field.

    The values are evenly spaced, which suits any grid and leaves a place for 0.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if there is no sweep.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    sweeps = [(task, rows, field, family) for task, rows in tasks.items() for field, family in find_sweeps(rows)]
    if not sweeps:
        return None
    description = f"bars and bands: 95 % t interval over seeds; rule: {RULES[rule]}"
    swept_rows = [row for _, _, _, family in sweeps for row in family]
    figure, panels = new_figure(caption_of(records, swept_rows, description), [3.0] * len(sweeps))
    for (task, rows, field, family), (axes,) in zip(sweeps, panels, strict=True):
        _draw_sweep(axes, family, field, rule)
        _draw_references(axes, family, rows, rule)
        method = escape_text(family[0].first.config["method"]["name"])
        axes.set_title(f"{task_title(task)}, {method}", loc="left", fontsize=10)
        limit_to_percent(axes.get_ylim, axes.set_ylim)
        axes.legend(**LEGEND_BESIDE)
    return figure


def _draw_sweep(axes: "Axes", family: list[Row], field: str, rule: str) -> None:
    scores = [100 * np.array(list(row.scores(rule).values())) for row in family]
    for x, values in enumerate(scores):
        offsets = np.linspace(0.08, 0.3, len(values))
        axes.scatter(x + offsets, values, s=6, color=COLOURS[0], alpha=0.35, linewidths=0)
    intervals = [t_interval(values)[:2] if len(values) else (np.nan, np.nan) for values in scores]
    mean, half_width = np.array(intervals).T
    line: dict[str, Any] = {"fmt": "-o", "color": COLOURS[0], "capsize": 3}
    axes.errorbar(range(len(family)), mean, yerr=half_width, label="target accuracy", **line)
    axes.set_xticks(range(len(family)), [format_setting(run_settings(row.first)[field]) for row in family])
    axes.set_xlim(-0.5, len(family) - 0.5)
    axes.set_xlabel(escape_text(f"{field.rpartition('.')[2].replace('_', ' ')} (evenly spaced)"), fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    style_axes(axes, "y")


def _draw_references(axes: "Axes", family: list[Row], rows: list[Row], rule: str) -> None:
    """Draw source only and the upper bound as lines with bands, if all rows of the sweep share them."""
    for find, name, style in (
        (upper_bound_row, "target only\n(upper bound)", BOUND_STYLE),
        (reference_row, "source only", SOURCE_ONLY_STYLE),
    ):
        partners = [find(row, rows) for row in family]
        partner = partners[0]
        is_shared = all(other is partner for other in partners)
        if partner is None or partner in family or not is_shared or not partner.scores(rule):
            continue
        mean, half_width, _ = t_interval(100 * np.array(list(partner.scores(rule).values())))
        axes.axhline(mean, linewidth=1.2, label=name, zorder=0, **style)
        if not math.isnan(half_width):
            axes.axhspan(mean - half_width, mean + half_width, color=style["color"], alpha=0.15, linewidth=0, zorder=0)
