"""Draws and writes every figure that records suffice for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from da_bench.core.storage import write_atomic
from da_bench.reporting.plots.accuracy import plot_accuracy
from da_bench.reporting.plots.canvas import render_figure
from da_bench.reporting.plots.cost import plot_cost
from da_bench.reporting.plots.critical_difference import plot_critical_difference
from da_bench.reporting.plots.curves import plot_curves
from da_bench.reporting.plots.few_shot import plot_few_shot
from da_bench.reporting.plots.heat_map import plot_heat_map
from da_bench.reporting.plots.search import plot_search
from da_bench.reporting.plots.selection import plot_selection
from da_bench.reporting.plots.sweep import plot_sweep
from da_bench.reporting.plots.validators import plot_validators
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")


def write_plots(records: Sequence[Record], folder: Path, rule: str = "last") -> list[Path]:
    """Write every figure that the records suffice for into `folder`, as .png and .svg.

    Each file is written as a whole. An .svg has equal bytes for equal records.

    Args:
        records: records of one or more tasks.
        folder: folder to write.
        rule: the selection rule declared for gains.

    Returns:
        The written paths.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    figures = {
        "accuracy": plot_accuracy(records, rule),
        "curves": plot_curves(records),
        "sweep": plot_sweep(records, rule),
        "shots": plot_few_shot(records, rule),
        "cost": plot_cost(records, rule),
        "heat_map": plot_heat_map(records, rule),
        "critical_difference": plot_critical_difference(records, rule),
        "validators": plot_validators(records, rule),
        "search": plot_search(records, rule),
        "selection": plot_selection(records, rule),
    }
    return write_figures({name: figure for name, figure in figures.items() if figure is not None}, folder)


def write_figures(figures: Mapping[str, "Figure"], folder: Path) -> list[Path]:
    """Write each figure as `folder`/<its name>.png and .svg; return the paths."""
    return [
        write_atomic(folder / f"{name}.{kind}", render_figure(figure, kind))
        for name, figure in figures.items()
        for kind in FORMATS
    ]
