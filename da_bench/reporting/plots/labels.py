"""Records -> learning curves over the number of target labels a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import (
    BESIDE,
    BOUND_STYLE,
    COLOURS,
    MARKERS,
    SOURCE_ONLY_STYLE,
    facts_of,
    grid,
    inside,
    label,
    plain,
    sheet,
)
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.rows import SOURCE_ONLY, Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_shots(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy against `shots`, labelled target examples a class, of methods run at two or more.

    None where there is no such method.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    every = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    tasks = {task: families for task, rows in every.items() if (families := _families(rows))}
    if not tasks:
        return None
    rows = [row for families in tasks.values() for family in families.values() for row in family.values()]
    said = f"bars: 95 % t interval over seeds; numbers of labels evenly spaced; rule: {RULES[rule]}"
    figure, panels = sheet(facts_of(records, rows, said), [3.0] * len(tasks), 1)
    for (task, families), (axes,) in zip(tasks.items(), panels, strict=True):
        _panel(axes, families, rule)
        _lines(axes, every[task], rule)
        inside(axes.get_ylim, axes.set_ylim)
        axes.legend(**BESIDE)
        axes.set_title(plain(task), loc="left", fontsize=10)
    return figure


def _families(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Method and whose labels it had -> shots -> row, where there are two or more."""
    families: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.runs and (shots := row.first.config.get("shots")):
            families.setdefault(_name(row), {})[shots] = row
    return {name: dict(sorted(family.items())) for name, family in families.items() if len(family) > 1}


def _name(row: Row) -> str:
    config = row.first.config
    whose = "the target's labels alone" if config["labels_from"] == "target" else "beside the source's"
    return f"{config['method']['name']}, {whose}"


def _lines(axes: "Axes", rows: Sequence[Row], rule: str) -> None:
    """Source only and the upper bound: of no labels, and of all."""
    for row in (one for one in rows if one.name == SOURCE_ONLY or one.is_upper_bound):
        look: dict[str, Any] = BOUND_STYLE if row.is_bound else SOURCE_ONLY_STYLE
        if scores := row.scores(rule):
            name = "all of the target's labels" if row.is_bound else "source only"
            axes.axhline(100 * float(np.mean(list(scores.values()))), zorder=0, linewidth=1, label=name, **look)


def _panel(axes: "Axes", families: dict[str, dict[int, Row]], rule: str) -> None:
    every = sorted({shots for family in families.values() for shots in family})
    aside = np.linspace(-0.08, 0.08, len(families)) if len(families) > 1 else [0.0]
    for i, ((name, family), shift) in enumerate(zip(families.items(), aside, strict=True)):
        scores = {every.index(shots) + shift: list(row.scores(rule).values()) for shots, row in family.items()}
        known = {place: t_interval(100 * np.array(values)) for place, values in scores.items() if values}
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        look |= {"markersize": 4, "capsize": 3, "linewidth": 1.3}
        spread = [one.half_width for one in known.values()]
        axes.errorbar(list(known), [one.mean for one in known.values()], yerr=spread, label=label(name), **look)
    axes.set_xticks(range(len(every)), [str(shots) for shots in every])
    axes.set_xlabel("labelled target examples a class", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    grid(axes, "both")
