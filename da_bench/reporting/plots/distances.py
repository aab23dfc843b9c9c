"""How far apart one representation leaves the domains, against another: one point a pair of domains."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.reporting.plots.canvas import COLOURS, grid, plain, sheet
from da_bench.reporting.tables.provenance import provenance
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 2.0  # the A-distance of domains that a line separates


def plot_distances(
    records: Sequence[Record], method: str, after: Mapping[str, float], before: Mapping[str, Mapping[str, float]]
) -> "Figure":
    """A-distances by task of a method's features, `after`, against those of other representations, a panel each.

    records: those that they are of, for the caption. Below the diagonal the method's features are nearer.
    """
    said = "proxy A-distance, 0: domains alike, 2: told apart; a point a pair, by its initials; mean over seeds"
    figure, panels = sheet([said, *provenance(records)], [3.4], len(before))
    for axes, (name, distances) in zip(panels[0], before.items(), strict=True):
        _panel(axes, {task: (distances[task], after[task]) for task in after if task in distances})
        axes.set_xlabel(plain(name), fontsize=9)
    panels[0][0].set_ylabel(plain(f"features of {method}"), fontsize=9)
    return figure


def _panel(axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    axes.plot([0, MOST], [0, MOST], color="#888888", linewidth=0.8)
    axes.plot(*np.array(list(points.values())).T, "o", color=COLOURS[0], markersize=4)
    for i, (task, point) in enumerate(sorted(points.items(), key=lambda item: item[1])):  # neighbours on other sides
        place, side = [((4, -2), "left"), ((-4, -2), "right")][i % 2]
        axes.annotate(plain(initials(task)), point, place, textcoords="offset points", fontsize=7, ha=side)
    axes.set(xlim=(0, MOST), ylim=(0, MOST), aspect="equal")
    grid(axes, "both")


def initials(task: str) -> str:
    """Of a pair: "amazon_reviews/books-to-dvd" is "B→D"."""
    return "→".join(domain[0].upper() for domain in task.rpartition("/")[2].split("-to-"))
