"""Figure of the gain of every method on every pair of domains."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import caption_of, escape_text, gain_axis_start, new_figure
from da_bench.reporting.tables.over_pairs import (
    MethodOverPairs,
    has_negative_transfer,
    methods_over_pairs,
    paired_gain,
)
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERED_PAIRS = 16  # up to this number, numbers fit into the cells
NAME_LETTERS = 44


def plot_heat_map(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Gain over source only in percentage points, methods x pairs: mean over seeds, a triangle for negative transfer.

    Light colours are high, in black and white too.

    Args:
        records: records of one or more tasks.
        rule: the selection rule.

    Returns:
        The figure; None if no method has gains on two pairs.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks, methods = methods_over_pairs(records)
    adapting = [method for method in methods if method.competes and not method.first.is_source_only]
    gains = np.array([[_gain(method, task, rule) for task in tasks] for method in adapting]).reshape(-1, len(tasks))
    if not np.isfinite(gains).any():
        return None
    description = (
        "percentage points of target accuracy over source only, mean over seeds; ▼ negative transfer (paired t test "
        f"over seeds); ×: not run; rule: {RULES[rule]}"
    )
    rows = [row for method in adapting for row in method.rows.values()]
    figure, panels = new_figure(caption_of(records, rows, description), [1.4 + 0.2 * len(adapting)])
    is_negative = np.array(
        [[task in method.rows and has_negative_transfer(method, task, rule) for task in tasks] for method in adapting]
    )
    _draw_cells(panels[0, 0], gains, is_negative)
    _draw_labels(panels[0, 0], tasks, [method.name for method in adapting])
    return figure


def _gain(method: MethodOverPairs, task: str, rule: str) -> float:
    test = paired_gain(method, task, rule) if task in method.rows else None
    return np.nan if test is None else 100 * test.mean


def _draw_cells(axes: "Axes", gains: np.ndarray, is_negative: np.ndarray) -> None:
    low, high = min(0.0, gain_axis_start(gains)), max(0.0, np.nanmax(gains))
    image = axes.imshow(gains, cmap="cividis", vmin=low, vmax=high + 1e-9, aspect="auto")
    extend = "min" if np.nanmin(gains) < low else "neither"
    axes.figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01, extend=extend).ax.tick_params(labelsize=7)
    size = 6.5 if gains.shape[1] <= MOST_NUMBERED_PAIRS // 2 else 5.5
    for (i, j), gain in np.ndenumerate(gains):
        number = f"{gain:+.1f}" if gains.shape[1] <= MOST_NUMBERED_PAIRS else ""
        text = f"{number}{'▼' * bool(is_negative[i, j])}" if np.isfinite(gain) else "×"
        is_dark = np.isfinite(gain) and gain <= (low + high) / 2
        axes.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if is_dark else "black")


def _draw_labels(axes: "Axes", tasks: Sequence[str], methods: Sequence[str]) -> None:
    """Name rows and columns. A family or protocol that all pairs share is in the title only."""
    families = {task.partition("/")[0] for task in tasks} if all("/" in task for task in tasks) else set()
    protocols = {task.partition("@")[2] for task in tasks}
    family = families.pop() if len(families) == 1 else ""
    protocol = protocols.pop() if len(protocols) == 1 else ""
    names = [
        escape_text(task.removeprefix(f"{family}/").removesuffix(f"@{protocol}").replace("-to-", " → "))
        for task in tasks
    ]
    title = f"gain over source only{f' on {family}' if family else ''}{f' ({protocol})' if protocol else ''}"
    axes.set_xticks(range(len(tasks)), names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(methods)), [short_name(name) for name in methods], fontsize=7)
    axes.set_title(escape_text(title), loc="left", fontsize=10)
    axes.spines[:].set_visible(False)


def short_name(name: str) -> str:
    """Shorten a name to one line next to a panel."""
    return textwrap.shorten(escape_text(name), NAME_LETTERS, placeholder=" …")
