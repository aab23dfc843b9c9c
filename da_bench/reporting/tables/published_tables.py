"""Tables of published numbers next to results."""

from collections.abc import Sequence
from typing import NamedTuple

from da_bench.evaluation.validators import RULES
from da_bench.methods import load_plugins
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.cells import DASH, percent
from da_bench.reporting.tables.pair_tables import split_task
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.published import NUMBERS, Number, Source, is_reproduced, number_averaged, published_name
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.studies.records import Record

NOTE = (
    "Measured, percent of the target test split, mean ± half width of the 95 % t interval over seeds; in brackets the "
    "published number. Grey or italic: network or protocol differ, so the published number is no target. Inside: "
    "number of comparable pairs whose published number, up to its rounding, is in the 95 % prediction interval of one "
    "further run, or of the mean of as many runs as it averages. Most published numbers select the checkpoint by "
    "target labels. Measured numbers select by"
)


class Comparison(NamedTuple):
    """A published number and the rows that it is shown with.

    Attributes:
        number: the published number.
        name: name of the rows.
        rows: task -> row.
    """

    number: Number
    name: str
    rows: dict[str, Row]

    def printed(self, task: str) -> float:
        """Published accuracy on a task, in [0, 1]."""
        return self.number.accuracy[task.partition("@")[0]]

    def differences(self, task: str) -> list[str]:
        """Differences of network and protocol on a task, in words."""
        row, source = self.rows[task], self.number.source
        network = str((row.first.config["model"] or {"name": "none"})["name"])
        facts = {"network": (source.network, network), "protocol": (source.protocol, row.first.result.get("protocol"))}
        return [
            f"{name}: {published} published, {here} here"
            for name, (published, here) in facts.items()
            if published != here
        ]


def published_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """One table with a row for each published row of a method among the records; none without such numbers.

    Args:
        records: records of one or several tasks.
        rule: selection rule.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    load_plugins()
    rows_by_task = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    comparisons = [comparison for number in NUMBERS for comparison in _comparisons(number, rows_by_task)]
    if not comparisons:
        return []
    tasks = [task for task in rows_by_task if any(task in comparison.rows for comparison in comparisons)]
    columns = (
        Column("method", "Method"),
        Column("published", "Published"),
        *(Column(task, split_task(task), ("measured", "published")) for task in tasks),
        Column("inside", "Inside", ("inside", "of")),
        Column("differs", "What differs"),
    )
    rows = tuple(_row(comparison, tasks, rule) for comparison in comparisons)
    sources: dict[str, Source] = {comparison.number.source.name: comparison.number.source for comparison in comparisons}
    citations = (
        f"{name}: {source.citation} Network {source.network}, {source.protocol}, {source.selection}, "
        f"runs: {source.runs}."
        for name, source in sources.items()
    )
    notes = (f"{NOTE} {RULES[rule]}.", *citations, *provenance(records))
    return [Table("Published numbers", columns, rows, notes)]


def _comparisons(number: Number, rows_by_task: dict[str, list[Row]]) -> list[Comparison]:
    """One comparison for each row name of the method."""
    by_name: dict[str, dict[str, Row]] = {}
    for task, rows in rows_by_task.items():
        for row in rows if task.partition("@")[0] in number.accuracy else []:
            inputs = "msda" if row.first.config.get("msda") else ""
            if row.runs and (published_name(row.first.config), inputs) == (number.method, number.source.inputs):
                by_name.setdefault(row.name, {})[task] = row
    return [Comparison(number, name, rows) for name, rows in by_name.items()]


def _row(comparison: Comparison, tasks: Sequence[str], rule: str) -> tuple[Cell, ...]:
    source = comparison.number.source
    runs = number_averaged(source.averaged, comparison.number.method)
    differences: dict[str, None] = {}
    agreements = []
    for task, row in comparison.rows.items():
        differing, accuracies = comparison.differences(task), list(row.scores(rule).values())
        differences |= dict.fromkeys(differing)
        if not differing and len(accuracies) > 1:
            agreements.append(is_reproduced(accuracies, comparison.printed(task), runs))
    inside = Cell(f"{sum(agreements)} of {len(agreements)}", (sum(agreements), len(agreements))) if agreements else DASH
    cells = (_cell(comparison, task, rule) if task in comparison.rows else DASH for task in tasks)
    differs = Cell("; ".join(differences) or "neither network nor protocol")
    return (Cell(comparison.name), Cell(source.name), *cells, inside, differs)


def _cell(comparison: Comparison, task: str, rule: str) -> Cell:
    accuracies, printed = list(comparison.rows[task].scores(rule).values()), comparison.printed(task)
    mark: Mark = "other" if comparison.differences(task) else ""
    if not accuracies:
        return Cell(f"n/a ({percent(printed)})", (None, printed), mark)
    mean, half_width, n = t_interval(accuracies)
    spread = "" if n == 1 else f" ± {percent(half_width)}"
    return Cell(f"{percent(mean)}{spread} ({percent(printed)})", (mean, printed), mark)
