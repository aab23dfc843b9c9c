"""Records -> plots: accuracy by method, training curves, sweeps; readable in black and white and colour-blind."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.core.storage import write_atomic
from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import (
    BESIDE,
    BOUND_STYLE,
    COLOURS,
    SOURCE_ONLY_STYLE,
    Style,
    facts_of,
    grid,
    inside,
    label_of,
    plain,
    render_figure,
    sheet,
    styles_of,
)
from da_bench.reporting.plots.labels import plot_shots
from da_bench.reporting.plots.over_pairs import plot_cost, plot_critical_difference, plot_heat_map
from da_bench.reporting.plots.scores import plot_validators
from da_bench.reporting.plots.search import plot_search
from da_bench.reporting.plots.selection import plot_selection
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
from da_bench.reporting.tables.text import single_line
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8  # curves in one panel that an eye can follow


def plot_accuracy(records: Sequence[Record], rule: str = "last") -> "Figure":
    """Target accuracy by method at `rule`, one panel a task: mean, 95 % t interval, and each seed as a small dot.

    Source only and the upper bound are lines through the panel too. Skipped methods are named without a dot.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    heights = [0.9 + 0.3 * len(rows) for rows in tasks.values()]
    said = f"bars: 95 % t interval over seeds; dashed: source only; dotted: upper bound; rule: {RULES[rule]}"
    figure, panels = sheet(facts_of(records, itertools.chain(*tasks.values()), said), heights, 1)
    for (task, rows), (axes,) in zip(tasks.items(), panels, strict=True):
        _accuracy_panel(axes, rows, rule)
        axes.set_title(plain(task), loc="left", fontsize=10)
    return figure


def _accuracy_panel(axes: "Axes", rows: list[Row], rule: str) -> None:
    for place, (row, style) in enumerate(zip(rows, styles_of(rows), strict=True)):
        values = 100 * np.array(list(row.scores(rule).values()))
        if len(values):
            _dot(axes, values, place, style)
        if len(values) and (row.is_source_only or row.is_bound):
            axes.axvline(values.mean(), zorder=0, linewidth=1, **(BOUND_STYLE if row.is_bound else SOURCE_ONLY_STYLE))
    axes.set_yticks(range(len(rows)), [label_of(row, _remark(row)) for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("target accuracy (%)", fontsize=9)
    inside(axes.get_xlim, axes.set_xlim)
    grid(axes, "x")


def _remark(row: Row) -> str:
    if not row.runs:
        return " (failed)" if row.failed else " (skipped)"
    return f" ({row.diverged}†)" if row.diverged else ""


def _dot(axes: "Axes", values: np.ndarray, place: float, style: Style) -> None:
    """One row of values [n] in percent: seeds below, mean and interval on the line."""
    mean, half_width, n = t_interval(values)
    spread = np.linspace(0.15, 0.35, n) if n > 1 else np.array([0.25])
    axes.scatter(values, place + spread, s=6, color=style.color, alpha=0.5, linewidths=0)
    axes.errorbar(
        mean, place, xerr=half_width, fmt=style.marker, color=style.color, markersize=5, capsize=3, linewidth=1.5
    )


def plot_curves(records: Sequence[Record]) -> "Figure":
    """Target and source accuracy against the step, one line of panels a task: mean and 95 % t band over seeds.

    More rows than an eye can follow: those of a sweep are left out, which `plot_sweep` shows, and of the methods that
    are left the best are drawn. Where a run diverged and has no finite accuracy, its row's line ends.

    Raises:
        UserError: for no records, or two results of one setting and seed.
    """
    every = {task: _with_curves(build_rows(group)) for task, group in group_for_tables(records).items()}
    tasks = {task: _followable(rows) for task, rows in every.items()}
    heights = [max(2.6, 0.7 + 0.19 * len(rows)) for rows in tasks.values()]
    few = f"; where lines are too many, rows of a sweep are left out, then all but the {MOST_LINES} best at the end"
    left_out = "" if tasks == every else few
    facts = facts_of(records, itertools.chain(*tasks.values()), f"bands: 95 % t interval over seeds{left_out}")
    figure, panels = sheet(facts, heights, 2)
    for (task, rows), (target, source) in zip(tasks.items(), panels, strict=True):
        for row, style in zip(rows, styles_of(rows), strict=True):
            _curve(target, row, "target_accuracy", style)
            _curve(source, row, "source_accuracy", style)
        target.set_title(plain(task), loc="left", fontsize=10)
        _label_curves(target, source)
    return figure


def _with_curves(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.runs and all(len(run.curves.get("step", [])) > 1 for run in row.runs)]


def _followable(rows: list[Row]) -> list[Row]:
    swept = [row.name for _, family in find_sweeps(rows) for row in family] if len(rows) > MOST_LINES else []
    kept = [row for row in rows if row.name not in swept] or rows
    adapting = [row for row in kept if not (row.is_source_only or row.is_bound)]
    best = sorted(adapting, key=_last, reverse=True)[:MOST_LINES]
    return [row for row in kept if row not in adapting or row in best]


def _last(row: Row) -> float:
    scores = row.scores("last").values()
    return float(np.mean(list(scores))) if scores else -math.inf


def _curve(axes: "Axes", row: Row, quantity: str, style: Style) -> None:
    steps, values = row_curves(row, quantity)
    middle, half = _band(100 * values)
    every = max(1, len(steps) // 8)
    look: dict[str, Any] = {**style._asdict(), "markersize": 4, "markevery": every, "linewidth": 1.3}
    axes.plot(steps, middle, label=label_of(row), **look)
    axes.fill_between(steps, middle - half, middle + half, color=style.color, alpha=0.15, linewidth=0)


def row_curves(row: Row, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] that all runs of the row have, and `quantity` there [n, t] in [0, 1], NaN where a run has none."""
    runs = [dict(zip(run.curves["step"], run.curves[quantity], strict=True)) for run in row.runs]
    steps = sorted(set.intersection(*(set(run) for run in runs)))
    return np.array(steps), np.array([[run[step] for step in steps] for run in runs], np.float64)


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half width [t] over runs, `values` [n, t]; NaN where one run is: the rest must not speak for all."""
    whole = np.isfinite(values).all(axis=0)
    pairs = [t_interval(column)[:2] if ok else (np.nan, np.nan) for column, ok in zip(values.T, whole, strict=True)]
    middle, half = np.array(pairs).reshape(-1, 2).T
    return middle, np.where(whole, np.nan_to_num(half), np.nan)


def _label_curves(target: "Axes", source: "Axes") -> None:
    for axes, name in ((target, "target"), (source, "source")):
        axes.set_xlabel("step", fontsize=9)
        axes.locator_params(axis="x", nbins=4)  # so that numbers of five digits stand apart
        axes.set_ylabel(f"{name} accuracy (%)", fontsize=9)
        inside(axes.get_ylim, axes.set_ylim)
        grid(axes, "both")
    lines, names = target.get_legend_handles_labels()
    if names:
        source.legend(lines, names, **BESIDE)


def plot_sweep(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy against a field, for each task and method run at three or more values of that one float field.

    The values are evenly spaced, in order: 0 has a place, and so has a grid that is neither linear nor logarithmic.
    None where there is no sweep.

    Raises:
        UserError: as `plot_accuracy`.
    """
    check_rule(rule)
    tasks = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    found = [(task, rows, field, family) for task, rows in tasks.items() for field, family in find_sweeps(rows)]
    if not found:
        return None
    said = f"bars and band: 95 % t interval over seeds; rule: {RULES[rule]}"
    swept = [row for _, _, _, family in found for row in family]
    figure, panels = sheet(facts_of(records, swept, said), [3.0] * len(found), 1)
    for (task, rows, field, family), (axes,) in zip(found, panels, strict=True):
        _sweep_panel(axes, family, field, rule)
        _references(axes, family, rows, rule)
        method = single_line(family[0].first.config["method"]["name"])
        axes.set_title(plain(f"{task}: {method}"), loc="left", fontsize=10)
        inside(axes.get_ylim, axes.set_ylim)
        axes.legend(**BESIDE)
    return figure


def _sweep_panel(axes: "Axes", family: list[Row], field: str, rule: str) -> None:
    values = [100 * np.array(list(row.scores(rule).values())) for row in family]
    for place, one in enumerate(values):
        axes.scatter(place + np.linspace(0.08, 0.3, len(one)), one, s=6, color=COLOURS[0], alpha=0.35, linewidths=0)
    middle, half = np.array([t_interval(one)[:2] if len(one) else (np.nan, np.nan) for one in values]).T
    look: dict[str, Any] = {"fmt": "-o", "color": COLOURS[0], "capsize": 3}
    axes.errorbar(range(len(family)), middle, yerr=half, label="target accuracy", **look)
    axes.set_xticks(range(len(family)), [format_setting(run_settings(row.first)[field]) for row in family])
    axes.set_xlim(-0.5, len(family) - 0.5)
    axes.set_xlabel(plain(f"{field.rpartition('.')[2]} (evenly spaced)"), fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    grid(axes, "y")


def _references(axes: "Axes", family: list[Row], rows: list[Row], rule: str) -> None:
    """Lines and bands of source only and the upper bound, where the whole sweep has the same one."""
    for find, name, style in (
        (upper_bound_row, "target only\n(upper bound)", BOUND_STYLE),
        (reference_row, "source only", SOURCE_ONLY_STYLE),
    ):
        partners = [find(row, rows) for row in family]
        row = partners[0]
        if row is None or row in family or any(one is not row for one in partners) or not row.scores(rule):
            continue
        mean, half_width, _ = t_interval(100 * np.array(list(row.scores(rule).values())))
        axes.axhline(mean, linewidth=1.2, label=name, zorder=0, **style)
        if not math.isnan(half_width):
            axes.axhspan(mean - half_width, mean + half_width, color=style["color"], alpha=0.15, linewidth=0, zorder=0)


def write_plots(records: Sequence[Record], folder: Path, rule: str = "last") -> list[Path]:
    """Write every plot that the records have something for, as .png and .svg, into `folder`; returns their paths.

    Each file is whole or not there. An .svg has the same bytes for the same records.

    Raises:
        UserError: as `plot_accuracy`.
    """
    made = {
        "accuracy": plot_accuracy(records, rule),
        "curves": plot_curves(records),
        "sweep": plot_sweep(records, rule),
        "shots": plot_shots(records, rule),
        "cost": plot_cost(records, rule),
        "heat_map": plot_heat_map(records, rule),
        "critical_difference": plot_critical_difference(records, rule),
        "validators": plot_validators(records, rule),
        "search": plot_search(records, rule),
        "selection": plot_selection(records, rule),
    }
    return write_figures({name: figure for name, figure in made.items() if figure is not None}, folder)


def write_figures(figures: Mapping[str, "Figure"], folder: Path) -> list[Path]:
    """Write each figure as `folder`/<its name>.png and .svg; returns their paths."""
    return [
        write_atomic(folder / f"{name}.{kind}", render_figure(figure, kind))
        for name, figure in figures.items()
        for kind in ("png", "svg")
    ]
