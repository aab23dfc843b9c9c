"""Figure of the accuracy over the number of labelled target examples per class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import (
    BOUND_STYLE,
    COLOURS,
    LEGEND_BESIDE,
    MARKERS,
    SOURCE_ONLY_STYLE,
    caption_of,
    limit_to_percent,
    new_figure,
    style_axes,
    task_title,
    wrap,
)
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.rows import SOURCE_ONLY, Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_few_shot(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy over `shots`, the labelled target examples per class, of methods run at two or more numbers.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if there is no such method.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    all_rows = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    tasks = {task: families for task, rows in all_rows.items() if (families := _families(rows))}
    if not tasks:
        return None
    rows = [row for families in tasks.values() for family in families.values() for row in family.values()]
    description = f"bars: 95 % t interval over seeds; numbers of labels evenly spaced; rule: {RULES[rule]}"
    figure, panels = new_figure(caption_of(records, rows, description), [3.0] * len(tasks))
    for (task, families), (axes,) in zip(tasks.items(), panels, strict=True):
        _draw_families(axes, families, rule)
        _draw_references(axes, all_rows[task], rule)
        limit_to_percent(axes.get_ylim, axes.set_ylim)
        axes.legend(**LEGEND_BESIDE)
        axes.set_title(task_title(task), loc="left", fontsize=10)
    return figure


def _families(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Name of a line -> shots -> row, for lines with two or more points."""
    families: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.runs and (shots := row.first.config.get("shots")):
            families.setdefault(_line_name(row), {})[shots] = row
    return {name: dict(sorted(family.items())) for name, family in families.items() if len(family) > 1}


def _line_name(row: Row) -> str:
    config = row.first.config
    labels = "target labels only" if config["labels_from"] == "target" else "source and target labels"
    return f"{config['method']['name']}, {labels}"


def _draw_references(axes: "Axes", rows: Sequence[Row], rule: str) -> None:
    """Draw source only (no target labels) and the upper bound (all of them) as lines."""
    for row in rows:
        if (row.name == SOURCE_ONLY or row.is_upper_bound) and (scores := row.scores(rule)):
            style: dict[str, Any] = BOUND_STYLE if row.uses_target_labels else SOURCE_ONLY_STYLE
            name = "all target labels" if row.uses_target_labels else "source only"
            axes.axhline(100 * float(np.mean(list(scores.values()))), zorder=0, linewidth=1, label=name, **style)


def _draw_families(axes: "Axes", families: dict[str, dict[int, Row]], rule: str) -> None:
    all_shots = sorted({shots for family in families.values() for shots in family})
    offsets = np.linspace(-0.08, 0.08, len(families)) if len(families) > 1 else [0.0]
    for i, ((name, family), offset) in enumerate(zip(families.items(), offsets, strict=True)):
        scores = {all_shots.index(shots) + offset: list(row.scores(rule).values()) for shots, row in family.items()}
        intervals = {x: t_interval(100 * np.array(values)) for x, values in scores.items() if values}
        means = [interval.mean for interval in intervals.values()]
        half_widths = [interval.half_width for interval in intervals.values()]
        style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        style |= {"markersize": 4, "capsize": 3, "linewidth": 1.3}
        axes.errorbar(list(intervals), means, yerr=half_widths, label=wrap(name), **style)
    axes.set_xticks(range(len(all_shots)), [str(shots) for shots in all_shots])
    axes.set_xlabel("labelled target examples per class", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    style_axes(axes, "both")
