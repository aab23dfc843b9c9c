"""Figure of the distance between domains in one representation over that in another, one point for each pair."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.reporting.plots.canvas import COLOURS, escape_text, new_figure, style_axes
from da_bench.reporting.tables.provenance import provenance
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST = 2.0  # A-distance of linearly separable domains


def plot_distances(
    records: Sequence[Record], method: str, after: Mapping[str, float], before: Mapping[str, Mapping[str, float]]
) -> "Figure":
    """Proxy A-distances after adaptation over those in other representations, one panel for each of these.

    Below the diagonal the method's features are closer.

    Args:
        records: records that the distances are from, for the caption.
        method: name of the method.
        after: task -> A-distance of the method's features, in [0, 2].
        before: name of a representation -> task -> A-distance.
    """
    description = (
        "proxy A-distance: 0 if domains are alike, 2 if they are separable; a point for each pair, labelled by its "
        "initials; mean over seeds"
    )
    figure, panels = new_figure([description, *provenance(records)], [3.4], len(before))
    for axes, (name, distances) in zip(panels[0], before.items(), strict=True):
        _draw_panel(axes, {task: (distances[task], after[task]) for task in after if task in distances})
        axes.set_xlabel(escape_text(name), fontsize=9)
    panels[0][0].set_ylabel(escape_text(f"features of {method}"), fontsize=9)
    return figure


def _draw_panel(axes: "Axes", points: Mapping[str, tuple[float, float]]) -> None:
    axes.plot([0, LARGEST], [0, LARGEST], color="#888888", linewidth=0.8)
    axes.plot(*np.array(list(points.values())).T, "o", color=COLOURS[0], markersize=4)
    for i, (task, point) in enumerate(sorted(points.items(), key=lambda item: item[1])):  # neighbours on other sides
        offset, alignment = [((4, -2), "left"), ((-4, -2), "right")][i % 2]
        label = escape_text(initials(task))
        axes.annotate(label, point, offset, textcoords="offset points", fontsize=7, ha=alignment)
    axes.set(xlim=(0, LARGEST), ylim=(0, LARGEST), aspect="equal")
    style_axes(axes, "both")


def initials(task: str) -> str:
    """Initials of a pair of domains: "amazon_reviews/books-to-dvd" is "B→D"."""
    return "→".join(domain[0].upper() for domain in task.rpartition("/")[2].split("-to-"))
