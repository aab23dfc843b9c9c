"""Records -> learning curves over the number of target labels a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.records import Record
from da_bench.report.canvas import BESIDE, facts_of, grid, inside, label, plain, sheet, styles_of
from da_bench.report.rows import Row, by_task, check_rule, rows_of, settings
from da_bench.report.statistics import t_interval
from da_bench.select import RULES

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
    found = {task: _families(rows_of(group)) for task, group in by_task(records).items()}
    tasks = {task: families for task, families in found.items() if families}
    if not tasks:
        return None
    rows = [row for families in tasks.values() for family in families.values() for row in family.values()]
    said = f"bars: 95 % t interval over seeds; numbers of labels evenly spaced; rule: {RULES[rule]}"
    figure, panels = sheet(facts_of(records, rows, said), [3.0] * len(tasks), 1)
    for (task, families), (axes,) in zip(tasks.items(), panels, strict=True):
        _panel(axes, families, rule)
        axes.set_title(plain(task), loc="left", fontsize=10)
    return figure


def shots_of(row: Row) -> int | None:
    """Labelled target examples a class that its runs were given; None where the setting has no such field."""
    found = [value for name, value in settings(row.first).items() if name.rpartition(".")[2] == "shots"]
    return int(found[0]) if found and found[0] is not None else None


def _families(rows: Sequence[Row]) -> dict[str, dict[int, Row]]:
    """Name without its shots -> shots -> row, where there are two or more."""
    families: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.runs and (shots := shots_of(row)) is not None:
            families.setdefault(_name(row), {})[shots] = row
    return {name: dict(sorted(family.items())) for name, family in families.items() if len(family) > 1}


def _name(row: Row) -> str:
    method, _, fields = row.name.partition(" (")
    kept = [one for one in fields.removesuffix(")").split(", ") if one and not one.startswith("shots=")]
    return f"{method} ({', '.join(kept)})" if kept else method


def _panel(axes: "Axes", families: dict[str, dict[int, Row]], rule: str) -> None:
    every = sorted({shots for family in families.values() for shots in family})
    styles = styles_of([next(iter(family.values())) for family in families.values()])
    aside = np.linspace(-0.08, 0.08, len(families)) if len(families) > 1 else [0.0]
    for (name, family), style, shift in zip(families.items(), styles, aside, strict=True):
        scores = {every.index(shots) + shift: list(row.scores(rule).values()) for shots, row in family.items()}
        known = {place: t_interval(100 * np.array(values)) for place, values in scores.items() if values}
        look: dict[str, Any] = {**style._asdict(), "markersize": 4, "capsize": 3, "linewidth": 1.3}
        spread = [one.half_width for one in known.values()]
        axes.errorbar(list(known), [one.mean for one in known.values()], yerr=spread, label=label(name), **look)
    axes.set_xticks(range(len(every)), [str(shots) for shots in every])
    axes.set_xlabel("labelled target examples a class", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    inside(axes.get_ylim, axes.set_ylim)
    grid(axes, "both")
    axes.legend(**BESIDE)
