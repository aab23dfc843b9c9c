"""Reproduction card of a paper: its printed numbers next to those of the records.

Every number is shown under two selection rules: the one that stands for the paper's way of choosing, and one that needs
no target labels. A rule chooses among checkpoints and, if several were run, among settings of a method.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE
from da_bench.reporting.reproduction.disagreements import Disagreement, comparison_table
from da_bench.reporting.reproduction.paper import CellKey, Paper, check_label_free
from da_bench.reporting.reproduction.selected_runs import (
    Groups,
    check_scored,
    group_by_cell,
    measured_accuracies,
    select_runs,
    selected_accuracies,
)
from da_bench.reporting.stats.intervals import prediction_interval
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, mean_of_known, number_cell, percent
from da_bench.reporting.tables.escape import escape_markdown
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.published import is_reproduced, number_averaged
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.text import join_unique, single_line
from da_bench.studies.records import Record

NONE_PLANNED: Mapping[CellKey, int] = {}
NOTE = (
    "Percent of the target's test rows. Measured: mean ± half width of the 95 % t interval over seeds, by the rule "
    "that stands for the paper's. Prediction interval: contains one further run, or the mean of m further runs if the "
    "paper's number is such a mean, with 95 % confidence (mean ± t s √(1/m + 1/n) over n seeds). Reproduced: the "
    "paper's number lies in this interval, up to its rounding; otherwise the difference of the measured mean from it, "
    "in points. A method without randomness runs once and has no interval: it is reproduced if both numbers are equal "
    "as printed. Label-free: by a rule that needs no target labels; n/a for the last step, which cannot choose among "
    "settings. Of settings with equal scores the first is taken, of checkpoints the last. Runs: seeds times settings. "
    "A-distance: proxy A-distance of the features after the last step."
)


class Card(NamedTuple):
    """Reproduction card.

    Attributes:
        title: title of the paper.
        head: (label, text) lines above the tables.
        tables: the printed and measured numbers and, if the paper has them, probabilities to be better.
        reproduced: how many printed numbers are reproduced, and how many were run.
    """

    title: str
    head: tuple[tuple[str, str], ...]
    tables: tuple[Table, ...]
    reproduced: tuple[int, int]

    def markdown(self) -> str:
        """The card as a Markdown page."""
        lines = [f"- {label}: {escape_markdown(text)}" for label, text in self.head]
        title = f"## Reproduction card: {escape_markdown(self.title)}"
        return "\n\n".join([title, "\n".join(lines), *(table.markdown() for table in self.tables)])

    def data(self) -> dict[str, Any]:
        """The card as JSON values, with all digits."""
        head = {label.lower().replace(" ", "_"): single_line(text) for label, text in self.head}
        count = dict(zip(("reproduced", "of"), self.reproduced, strict=True))
        return {"title": self.title, **count, **head, "tables": [table.data() for table in self.tables]}


def build_card(
    paper: Paper,
    question: str,
    records: Sequence[Record],
    disagreements: Sequence[Disagreement] = (),
    label_free: str = "im",
    planned: Mapping[CellKey, int] = NONE_PLANNED,
) -> Card:
    """Build the card of a paper from the records of its experiments.

    Args:
        paper: the declaration.
        question: what the experiments ask.
        records: runs, finished or not.
        disagreements: counts for `Paper.better`.
        label_free: rule of the label-free column, except for the methods of `Paper.label_free`.
        planned: planned number of seeds of each cell; with fewer there is no verdict.

    Raises:
        UserError: an unknown rule, the oracle as the label-free rule, a rule that cannot choose between settings, a
            run without a result by the paper's rule, or no records.
    """
    check_label_free(label_free)
    groups = group_by_cell(records)
    check_scored(paper, groups)
    keys = list(dict.fromkeys([*paper.cells, *groups]))  # the paper's cells in its order, then what else was run
    rows = {key: _row(paper, key, groups.get(key, []), label_free, planned.get(key, 0)) for key in keys}
    table = Table(f"{paper.title}: printed and measured", _columns(paper, label_free), tuple(rows.values()), (NOTE,))
    comparison = [comparison_table(paper, groups, disagreements)] if paper.better else []
    verdicts = [rows[key][-1].text for key in paper.cells if groups.get(key)]
    reproduced = sum(text.startswith("reproduced") for text in verdicts), len(verdicts)
    return Card(paper.title, _head(paper, question, records, reproduced), (table, *comparison), reproduced)


def reproduction_verdict(accuracies: Sequence[float], printed: float, runs: int = 1) -> str:
    """Say "reproduced", see `is_reproduced`, or by how many points the measured mean is off the printed number.

    Args:
        accuracies: measured accuracies in [0, 1], one per seed.
        printed: printed accuracy in [0, 1].
        runs: number of runs that the printed accuracy is the mean of.
    """
    if is_reproduced(accuracies, printed, runs):
        return "reproduced"
    return f"off by {100 * (float(np.mean(accuracies)) - printed):+.1f}"


def describe_cost(records: Sequence[Record]) -> str:
    """Number of runs, number of those without a result, and their seconds."""
    seconds = [record.result["seconds"] for record in records if record.result.get("seconds")]
    run, compiling = (sum(each[part] / each["together"] for each in seconds) for part in ("run", "compile"))
    statuses = join_unique(record.result["status"] for record in records if not record.result["rules"])
    without_result = f" ({len(records) - len(seconds)} {statuses})" if statuses else ""
    return f"{len(records)} runs{without_result}, {run:.0f} s, and {compiling:.0f} s to compile them"


def _columns(paper: Paper, label_free: str) -> tuple[Column, ...]:
    return (
        Column("method", "Method"),
        Column("task", "Task"),
        Column("paper", "Paper", ("accuracy",)),
        Column("measured", f"Measured:\n{paper.describe_rules()}", ("mean", "half_width", "n")),
        Column("prediction", "Prediction\ninterval", ("low", "high", "averaged")),
        Column("label_free", f"Label-free:\n{paper.describe_label_free(label_free)}", ("mean", "half_width", "n")),
        Column("runs", "Runs", ("runs",)),
        Column("a_distance", "A-distance", ("mean",)),
        Column("verdict", "Verdict"),
    )


def _row(paper: Paper, key: CellKey, group: Sequence[Record], label_free: str, planned: int) -> tuple[Cell, ...]:
    rule, label_free = paper.rule_of(key[0]), paper.label_free.get(key[0], label_free)
    printed, runs = paper.cells.get(key), number_averaged(paper.averaged, key[0])
    selected, by_seed = select_runs(group, rule), selected_accuracies(group, rule)
    accuracies = list(by_seed.values())
    several_settings = len(group) > len(selected)
    return (
        *map(Cell, key),
        DASH if printed is None else Cell(percent(printed), (printed,)),
        accuracy_cell(by_seed, "oracle" if rule == ORACLE else ""),
        _prediction_cell(accuracies, runs),
        MISSING if label_free == LAST and several_settings else accuracy_cell(selected_accuracies(group, label_free)),
        Cell(str(len(group)), (len(group),)),
        number_cell(mean_of_known([run.result.get("proxy_a_distance") for run in selected.values()])),
        Cell(_verdict(accuracies, printed, runs, planned)),
    )


def _prediction_cell(accuracies: Sequence[float], runs: int) -> Cell:
    if len(accuracies) < 2:
        return DASH
    low, high = prediction_interval(accuracies, runs)
    suffix = f" (mean of {runs})" if runs > 1 else ""
    return Cell(f"{percent(low)} to {percent(high)}{suffix}", (low, high, runs))


def _verdict(accuracies: Sequence[float], printed: float | None, runs: int, planned: int) -> str:
    if not accuracies:
        return "not run"
    if printed is None:
        return "not printed"
    if len(accuracies) < planned:
        return f"{len(accuracies)} of {planned} seeds"
    return reproduction_verdict(accuracies, printed, runs)


def _head(
    paper: Paper, question: str, records: Sequence[Record], reproduced: tuple[int, int]
) -> tuple[tuple[str, str], ...]:
    *warnings, origin = provenance(records)
    count, total = reproduced
    error = _describe_error(paper, group_by_cell(records))
    return (
        ("Question", question),
        ("Result", f"{count} of {total} printed numbers reproduced; {error}"),
        ("Paper", paper.citation),
        ("Protocol of the paper", paper.protocol),
        ("Selection of the paper", f"{paper.selection}; here: {paper.describe_rules()}"),
        ("Differences", "; ".join(paper.differences) or "none known"),
        ("Cost", describe_cost(records)),
        *(("Warning", warning.removeprefix("WARNING: ")) for warning in warnings),
        ("Provenance", origin),
    )


def _describe_error(paper: Paper, groups: Groups) -> str:
    """Mean difference of the measured from the printed numbers, in words."""
    compared = list(_compared(paper, groups))
    if not compared:
        return "none of them was run"
    errors = np.array([float(np.mean(accuracies)) - printed for accuracies, printed in compared])
    text = (
        f"mean absolute difference {100 * np.abs(errors).mean():.2f} points, mean difference {100 * errors.mean():+.2f}"
    )
    intervals = [prediction_interval(accuracies) for accuracies, _ in compared if len(accuracies) > 1]
    if not intervals:
        return text
    half_width = np.median([(high - low) / 2 for low, high in intervals])
    return f"{text}; median half width of one run's interval {100 * half_width:.1f} points"


def _compared(paper: Paper, groups: Groups) -> Iterator[tuple[list[float], float]]:
    """(measured accuracies over seeds, printed accuracy) of every printed cell that was run."""
    for key, printed in paper.cells.items():
        accuracies = list(measured_accuracies(paper, groups, key).values())
        if accuracies:
            yield accuracies, printed
