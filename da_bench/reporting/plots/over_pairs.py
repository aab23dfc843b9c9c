"""Records -> plots over pairs: heat map of gains, critical differences, cost against accuracy."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import COLOURS, facts_of, grid, label, lowest, plain, sheet, styles_of
from da_bench.reporting.stats.rank_tests import (
    MIN_PAIRS,
    SIGNIFICANCE_LEVEL,
    cliques,
    mean_ranks,
    pairwise_holm,
    smallest_p,
)
from da_bench.reporting.tables.cells import mean_of_known, seconds_per_run
from da_bench.reporting.tables.over_pairs import (
    MethodOverPairs,
    has_negative_transfer,
    mean_accuracies,
    methods_on_every_pair,
    methods_over_pairs,
    paired_gain,
)
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 15  # groups that an eye can tell apart
MOST_NUMBERS = 16  # columns of a heat map that have room for numbers
NAME_LETTERS = 44


def plot_heat_map(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Gain over source only in points, methods x pairs: mean over seeds, with a triangle for negative transfer.

    Light is high, in black and white too. None where no method has a gain on two pairs.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks, lines = methods_over_pairs(records)
    adapting = [line for line in lines if line.competes and not line.first.is_source_only]
    gains = np.array([[_gain(line, task, rule) for task in tasks] for line in adapting]).reshape(-1, len(tasks))
    if not np.isfinite(gains).any():
        return None
    said = (
        "points of target accuracy over source only, mean over seeds; ▼ negative transfer (paired t test over seeds); "
        f"×: no such run; rule: {RULES[rule]}"
    )
    rows = [row for line in adapting for row in line.rows.values()]
    figure, panels = sheet(facts_of(records, rows, said), [1.4 + 0.2 * len(adapting)], 1)
    flags = np.array(
        [[task in line.rows and has_negative_transfer(line, task, rule) for task in tasks] for line in adapting]
    )
    _heat(panels[0, 0], gains, flags)
    _heat_labels(panels[0, 0], tasks, adapting)
    return figure


def _gain(line: MethodOverPairs, task: str, rule: str) -> float:
    found = paired_gain(line, task, rule) if task in line.rows else None
    return np.nan if found is None else 100 * found.mean


def _heat(axes: "Axes", gains: np.ndarray, flags: np.ndarray) -> None:
    low, high = min(0.0, lowest(gains)), max(0.0, np.nanmax(gains))
    image = axes.imshow(gains, cmap="cividis", vmin=low, vmax=high + 1e-9, aspect="auto")
    below = "min" if np.nanmin(gains) < low else "neither"
    axes.figure.colorbar(image, ax=axes, shrink=0.8, pad=0.01, extend=below).ax.tick_params(labelsize=7)
    size = 6.5 if gains.shape[1] <= MOST_NUMBERS // 2 else 5.5
    for (i, j), gain in np.ndenumerate(gains):
        colour = "black" if np.isfinite(gain) and gain > (low + high) / 2 else "white"
        number = f"{gain:+.1f}" if gains.shape[1] <= MOST_NUMBERS else ""
        shown = f"{number}{'▼' * bool(flags[i, j])}" if np.isfinite(gain) else "×"
        axes.text(j, i, shown, ha="center", va="center", fontsize=size, color=colour if shown != "×" else "black")


def _heat_labels(axes: "Axes", tasks: Sequence[str], lines: Sequence[MethodOverPairs]) -> None:
    family = {task.partition("/")[0] for task in tasks if "/" in task}
    shared = f"{family.pop()}/" if len(family) == 1 and all("/" in task for task in tasks) else ""
    names = [plain(task.removeprefix(shared).replace("-to-", " → ")) for task in tasks]
    axes.set_xticks(range(len(tasks)), names, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(lines)), [_short(line.name) for line in lines], fontsize=7)
    axes.set_title(plain(f"{shared.rstrip('/')} gain over source only".strip()), loc="left", fontsize=10)
    axes.spines[:].set_visible(False)


def _short(name: str) -> str:
    return textwrap.shorten(plain(name), NAME_LETTERS, placeholder=" …")


def plot_critical_difference(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Mean ranks over pairs, 1 the best; a bar joins methods of which no two differ, with a dot at each of them.

    Differ: Wilcoxon's signed-rank test over pairs, Holm over all pairs of methods. None below six pairs, where nothing
    could be claimed, or with fewer than two methods on every pair.

    References: the figure is that of Demšar, JMLR 2006; the test that of Benavoli, Corani and Mangili, JMLR 2016.

    Raises:
        UserError: as `plot_heat_map`.
    """
    check_rule(rule)
    tasks, lines = methods_over_pairs(records)
    methods = methods_on_every_pair(tasks, lines, rule)
    if len(tasks) < MIN_PAIRS or len(methods) < 2:
        return None
    accuracy = np.array([mean_accuracies(line, tasks, rule) for line in methods])
    ranks = mean_ranks(accuracy)
    order = np.argsort(ranks, kind="stable")
    groups = cliques(pairwise_holm(accuracy[order]) >= SIGNIFICANCE_LEVEL)
    rows = [row for line in methods for row in line.rows.values()]
    drawn = sorted(sorted(groups, key=len, reverse=True)[:MOST_BARS])
    height = 0.9 + 0.16 * (len(drawn) + (len(methods) + 1) // 2)
    figure, panels = sheet(
        facts_of(records, rows, _difference_said(len(tasks), len(methods), groups, rule)), [height], 1
    )
    _ranks(panels[0, 0], ranks[order], [_short(methods[i].name) for i in order], drawn)
    return figure


def _difference_said(pairs: int, methods: int, groups: Sequence[Any], rule: str) -> str:
    few = f"; the {MOST_BARS} largest of {len(groups)} bars, so no bar does not say different"
    none = "; for so many methods there are too few pairs for any two to differ"
    over = smallest_p(pairs) * methods * (methods - 1) / 2 >= SIGNIFICANCE_LEVEL
    return (
        f"mean rank over {pairs} pairs, 1 is best; a bar joins, by its dots, methods of which no two differ (Wilcoxon's"
        f" signed-rank test over pairs, Holm over all pairs of methods, 5 %){few * (len(groups) > MOST_BARS)}"
        f"{none * over}; rule: {RULES[rule]}"
    )


def _ranks(axes: "Axes", ranks: np.ndarray, names: Sequence[str], groups: Sequence[tuple[int, ...]]) -> None:
    """ranks [k], ascending; the better half is named on the left. One unit of y is a line."""
    half, under = (len(ranks) + 1) // 2, len(groups) + 1.0
    ends = max(1.0, np.floor(ranks[0])), np.ceil(ranks[-1])
    wide = max(float(ends[1] - ends[0]), 1.0)
    axes.plot(ends, (0, 0), color="black", linewidth=1)
    for tick in np.unique(np.linspace(*ends, min(int(wide) + 1, 12)).round()):
        axes.plot((tick, tick), (0, 0.35), color="black", linewidth=1)
        axes.text(tick, 0.5, f"{tick:.0f}", ha="center", va="bottom", fontsize=8)
    for i, (rank, name) in enumerate(zip(ranks, names, strict=True)):
        left = i < half
        y, x = -under - (i if left else len(ranks) - 1 - i), ends[0] - 0.03 * wide if left else ends[1] + 0.03 * wide
        axes.plot((rank, rank, x), (0, y, y), color="#666666", linewidth=0.7)
        side: Any = "right" if left else "left"
        axes.text(x, y, f" {name} ({rank:.1f}) ", ha=side, va="center", fontsize=7)
    for i, group in enumerate(groups):
        members = ranks[list(group)]
        axes.plot(members[[0, -1]], (-1.0 - i,) * 2, color=COLOURS[0], linewidth=2.5, solid_capstyle="round")
        axes.plot(members, [-1.0 - i] * len(members), "o", color=COLOURS[0], markersize=4)
    axes.set_xlim(ends[0] - 0.9 * wide, ends[1] + 0.9 * wide)
    axes.set_ylim(-under - half, 2)
    axes.axis("off")


def plot_cost(records: Sequence[Record], rule: str = "last") -> "Figure | None":
    """Target accuracy against seconds of a run, both mean over pairs, of the methods on every pair.

    The line joins the methods that no other beats at the same cost or less. None where no method is on two pairs or no
    time is known.

    Raises:
        UserError: as `plot_heat_map`.
    """
    check_rule(rule)
    tasks, lines = methods_over_pairs(records)
    seconds = {line.name: mean_of_known([seconds_per_run(row) for row in line.rows.values()]) for line in lines}
    shown = [line for line in methods_on_every_pair(tasks, lines, rule) if seconds[line.name]]
    if not shown:
        return None
    points = np.array(
        [(seconds[line.name], 100 * mean_accuracies(line, tasks, rule).mean()) for line in shown], np.float64
    )
    said = (
        f"means over {len(tasks)} pairs; seconds of a run without compiling, runs made together sharing the time; "
        f"line: no method is better at the same cost; rule: {RULES[rule]}"
    )
    rows = [row for line in shown for row in line.rows.values()]
    figure, panels = sheet(facts_of(records, rows, said), [max(3.2, 0.5 + 0.125 * len(shown))], 1)
    _cost_panel(panels[0, 0], points, shown)
    figure.draw_without_rendering()
    _numbers(panels[0, 0], points[np.argsort(-points[:, 1], kind="stable")])
    return figure


def _cost_panel(axes: "Axes", points: np.ndarray, lines: Sequence[MethodOverPairs]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    order = np.argsort(-points[:, 1], kind="stable")
    styles = styles_of([lines[i].first for i in order])
    for number, (i, style) in enumerate(zip(order, styles, strict=True), 1):
        name = label(f"{number}  {lines[i].name}")
        axes.plot(*points[i], style.marker, color=style.color, markersize=5, linestyle="none", label=name)
    best = front(points)
    axes.plot(*points[best].T, color="#999999", linewidth=1, zorder=0, drawstyle="steps-post")
    axes.set_xlabel("seconds a run", fontsize=9)
    axes.set_ylabel("target accuracy (%)", fontsize=9)
    grid(axes, "both")
    axes.margins(0.08, 0.08)
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelspacing=0.25)


def front(points: np.ndarray) -> np.ndarray:
    """Places of those (cost, gain) [n, 2] than which no other costs as little and gives more; by rising cost."""
    order = np.lexsort((-points[:, 1], points[:, 0]))
    highest = np.maximum.accumulate(points[order, 1])
    return order[np.concatenate([[True], highest[1:] > highest[:-1]])]


REACHES = (9, 15, 21, 30, 40, 52, 66)  # dots
AROUND = [(1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1.4), (1.6, 0), (0, -1.4), (-1.6, 0)]


def _numbers(axes: "Axes", points: np.ndarray) -> None:
    """1 .. n beside points [n, 2] of a panel that is laid out, each in the first free place around its point."""
    places = axes.transData.transform(points)
    taken = list(places)
    for number, (point, place) in enumerate(zip(points, places, strict=True), 1):
        tries = [place + reach * np.array(turn) for reach in REACHES for turn in AROUND]
        room = [min(float(np.hypot(*(one - other))) for other in taken) for one in tries]
        chosen = next((one for one, gap in zip(tries, room, strict=True) if gap > 11), tries[int(np.argmax(room))])
        taken.append(chosen)
        offset = (chosen - place) * 72 / axes.figure.dpi
        thread = {"arrowstyle": "-", "color": "#bbbbbb", "linewidth": 0.5} if np.hypot(*offset) > 12 else None
        look: dict[str, Any] = {"fontsize": 6, "ha": "center", "va": "center", "arrowprops": thread}
        axes.annotate(str(number), point, offset, textcoords="offset points", **look)
