"""Figure of the accuracy over the score that a validator gives to the same checkpoint."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.evaluation.validators import RULES, VALIDATORS
from da_bench.reporting.plots.canvas import (
    LEGEND_BESIDE,
    Style,
    caption_of,
    new_figure,
    row_label,
    row_styles,
    style_axes,
    task_title,
)
from da_bench.reporting.stats.correlation import spearman
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_METHODS = 8  # with more, overlapping points are unreadable
DEFAULT_VALIDATORS = ("im", "source_validation")


def plot_validators(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy of every checkpoint over its validator score: for each task two panels, one per validator.

    The validators are information maximisation with a floor and source validation; `rule` replaces the latter if it
    is another validator. Many methods are drawn alike: the question is whether score and accuracy rise together.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if no run has scores.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    first, second = DEFAULT_VALIDATORS
    validators = (first, rule if rule in VALIDATORS and rule != first else second)
    scored = {task: _with_scores(build_rows(group), validators) for task, group in group_for_tables(records).items()}
    tasks = {task: rows for task, rows in scored.items() if rows}
    if not tasks:
        return None
    description = "one point for each checkpoint of every seed; rho: Spearman's rank correlation over all of them"
    caption = caption_of(records, [row for rows in tasks.values() for row in rows], description)
    figure, panels = new_figure(caption, [2.6] * len(tasks), 2)
    for (task, rows), pair in zip(tasks.items(), panels, strict=True):
        for axes, name in zip(pair, validators, strict=True):
            _draw_panel(axes, rows, name)
        pair[0].set_title(task_title(task), loc="left", fontsize=10)
        if len(rows) <= MOST_METHODS:
            pair[1].legend(**LEGEND_BESIDE)
    return figure


def _with_scores(rows: Sequence[Row], validators: Sequence[str]) -> list[Row]:
    """Rows whose runs all have the scores; without upper bounds, whose validators use target labels."""
    return [
        row
        for row in rows
        if row.runs
        and not row.uses_target_labels
        and all(name in run.curves.get("validators", {}) for run in row.runs for name in validators)
    ]


def _draw_panel(axes: "Axes", rows: Sequence[Row], validator: str) -> None:
    styles = row_styles(rows) if len(rows) <= MOST_METHODS else [Style("#444444", ".", "-")] * len(rows)
    clouds = [np.concatenate([_points(run, validator) for run in row.runs]) for row in rows]
    for row, style, points in zip(rows, styles, clouds, strict=True):
        axes.plot(*points.T, style.marker, color=style.color, markersize=3, alpha=0.6, label=row_label(row))
    points = np.concatenate(clouds)
    rho = spearman(*points.T) if len(points) else np.nan
    name = RULES[validator]
    axes.set_xlabel(f"score: {name} (rho {rho:+.2f})" if np.isfinite(rho) else f"score: {name}", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    style_axes(axes, "both")


def _points(run: Record, validator: str) -> np.ndarray:
    """(score, target accuracy in percent) [e, 2] of the evaluations of a run that have both."""
    pairs = zip(run.curves["validators"][validator], run.curves["target_accuracy"], strict=True)
    known = [(score, 100 * accuracy) for score, accuracy in pairs if score is not None and accuracy is not None]
    return np.array(known, np.float64).reshape(-1, 2)
