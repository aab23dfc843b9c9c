"""Records -> accuracy against what a validator says of the same checkpoint: does the one follow the other?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.evaluation.validators import RULES, VALIDATORS
from da_bench.reporting.plots.canvas import BESIDE, Style, facts_of, grid, label_of, plain, sheet, styles_of
from da_bench.reporting.stats.correlation import spearman
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_METHODS = 8  # that an eye can tell apart where points lie on each other
DEFAULTS = ("im", "source_validation")


def plot_validators(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy of every checkpoint against its validator score, a line of panels a task: two validators.

    The validators are information maximisation and source validation; the second gives way to `rule`, if that is a
    third. Many methods are points of one kind: what counts is whether they rise together. None where no run has scores.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    shown = (DEFAULTS[0], rule if rule in VALIDATORS and rule != DEFAULTS[0] else DEFAULTS[1])
    found = {task: _scored(build_rows(group), shown) for task, group in group_for_tables(records).items()}
    tasks = {task: rows for task, rows in found.items() if rows}
    if not tasks:
        return None
    said = "one point a checkpoint of every seed; rho: Spearman's rank correlation over all of them"
    heights = [2.6] * len(tasks)
    figure, panels = sheet(facts_of(records, [row for rows in tasks.values() for row in rows], said), heights, 2)
    for (task, rows), pair in zip(tasks.items(), panels, strict=True):
        for axes, name in zip(pair, shown, strict=True):
            _panel(axes, rows, name)
        pair[0].set_title(plain(task), loc="left", fontsize=10)
        if len(rows) <= MOST_METHODS:
            pair[1].legend(**BESIDE)
    return figure


def _scored(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Rows whose runs all have the scores; not the upper bound, in which validators see target labels."""
    return [
        row
        for row in rows
        if row.runs
        and not row.is_bound
        and all(name in run.curves.get("validators", {}) for run in row.runs for name in names)
    ]


def _panel(axes: "Axes", rows: Sequence[Row], name: str) -> None:
    every = []
    styles = styles_of(rows) if len(rows) <= MOST_METHODS else [Style("#444444", ".", "-")] * len(rows)
    for row, style in zip(rows, styles, strict=True):
        points = np.concatenate([_points(run, name) for run in row.runs])
        every.append(points)
        axes.plot(*points.T, style.marker, color=style.color, markersize=3, alpha=0.6, label=label_of(row))
    points = np.concatenate(every)
    rho = spearman(*points.T) if len(points) else np.nan
    axes.set_xlabel(f"{RULES[name]} (rho {rho:+.2f})" if np.isfinite(rho) else RULES[name], fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    grid(axes, "both")


def _points(run: Record, name: str) -> np.ndarray:
    """(score, target accuracy in percent) of a run's evaluations [e, 2], without those that have not both."""
    pairs = zip(run.curves["validators"][name], run.curves["target_accuracy"], strict=True)
    kept = [(score, 100 * accuracy) for score, accuracy in pairs if score is not None and accuracy is not None]
    return np.array(kept, np.float64).reshape(-1, 2)
