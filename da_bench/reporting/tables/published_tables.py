"""Tables of published numbers next to results."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from da_bench.evaluation.validators import RULES
from da_bench.methods import load_plugins
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.tables.cells import percent
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.published import NUMBERS, Number, Source, is_reproduced, number_averaged, published_name
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

NOTE = (
    "Ours, percent of the target test split, mean ± half width of the 95 % t interval over seeds, and in brackets what"
    " was published. Grey or italic: network or protocol differ, so that the number is another experiment's and no "
    "target. Inside: of the pairs that can be compared, those whose published number is, to its own rounding, within "
    "the 95 % prediction interval of one more run of ours, or of the mean of as many as it is of. Most published "
    "numbers pick the checkpoint by target labels; ours by"
)


class Comparison(NamedTuple):
    """A published number and the rows of ours that it can stand beside, by task."""

    number: Number
    name: str
    rows: dict[str, Row]


def published_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """One table, a line for each published row of a method that the records have; none where there is no such number.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    load_plugins()
    ours = {task: build_rows(group) for task, group in group_for_tables(records).items()}
    found = [beside for number in NUMBERS for beside in _beside(number, ours)]
    tasks = [task for task in ours if any(task in beside.rows for beside in found)]
    if not found:
        return []
    columns = (
        *(Column(key, key.capitalize()) for key in ("method", "published")),
        *(Column(task, task.replace("/", "/\n").replace("-to-", "\nto "), ("ours", "published")) for task in tasks),
        Column("inside", "Inside", ("inside", "of")),
        Column("differs", "What differs"),
    )
    rows = tuple(_row(beside, tasks, rule) for beside in found)
    notes = (f"{NOTE} {RULES[rule]}.", *_citations(found), *provenance(records))
    return [Table("Published numbers beside ours", columns, rows, notes)]


def _beside(number: Number, ours: dict[str, list[Row]]) -> list[Comparison]:
    """One for each of our rows' names of the method."""
    found: dict[str, dict[str, Row]] = {}
    for task, rows in ours.items():
        for row in rows if task.partition("@")[0] in number.accuracy else []:
            if row.runs and (published_name(row.first.config), _inputs(row)) == (number.method, number.source.inputs):
                found.setdefault(row.name, {})[task] = row
    return [Comparison(number, name, rows) for name, rows in found.items()]


def _inputs(row: Row) -> str:
    return "msda" if row.first.config.get("msda") else ""


def _row(beside: Comparison, tasks: Sequence[str], rule: str) -> tuple[Cell, ...]:
    alike = {task: not _differences(row, beside.number.source) for task, row in beside.rows.items()}
    compared = [task for task, same in alike.items() if same and len(beside.rows[task].scores(rule)) > 1]
    runs = number_averaged(beside.number.source.averaged, beside.number.method)
    ours = {task: list(beside.rows[task].scores(rule).values()) for task in compared}
    inside = sum(is_reproduced(ours[task], _published(beside, task), runs) for task in compared)
    differs = dict.fromkeys(one for row in beside.rows.values() for one in _differences(row, beside.number.source))
    return (
        Cell(beside.name),
        Cell(beside.number.source.name),
        *(_cell(beside, task, rule, alike) for task in tasks),
        Cell(f"{inside} of {len(compared)}", (inside, len(compared))) if compared else Cell("–"),
        Cell("; ".join(differs) or "neither network nor protocol"),
    )


def _published(beside: Comparison, task: str) -> float:
    return beside.number.accuracy[task.partition("@")[0]]


def _cell(beside: Comparison, task: str, rule: str, alike: Mapping[str, bool]) -> Cell:
    if task not in beside.rows:
        return Cell("–")
    scores, there = list(beside.rows[task].scores(rule).values()), _published(beside, task)
    mark = "" if alike[task] else "other"
    if not scores:
        return Cell(f"n/a ({percent(there)})", (None, there), mark)
    mean, half_width, n = t_interval(scores)
    spread = "" if n == 1 else f" ± {percent(half_width)}"
    return Cell(f"{percent(mean)}{spread} ({percent(there)})", (mean, there), mark)


def _differences(row: Row, source: Source) -> list[str]:
    network = str((row.first.config["model"] or {"name": "none"})["name"])
    pairs = {"network": (source.network, network), "protocol": (source.protocol, row.first.result.get("protocol"))}
    return [f"{name}: {there} there, {here} here" for name, (there, here) in pairs.items() if there != here]


def _citations(found: Sequence[Comparison]) -> list[str]:
    sources: dict[str, Any] = {beside.number.source.name: beside.number.source for beside in found}
    return [
        f"{name}: {one.citation} Network {one.network}, {one.protocol}, {one.selection}, runs: {one.runs}."
        for name, one in sources.items()
    ]
