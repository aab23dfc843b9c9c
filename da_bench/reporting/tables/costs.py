"""Tables of what runs cost: time, speed and memory."""

from collections.abc import Sequence

from da_bench.reporting.tables import cells
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

NOTE = (
    "Seconds: wall time of a run, evaluations included; runs computed together share the time. Compiling is counted "
    "separately, once for all runs computed together. Inputs per second: steps per second times the labelled rows in a "
    "step; a method that adapts also reads as many target rows. Memory: peak of the process and, separately, of the "
    "accelerator by the end of a run; with --isolate it is the run's own."
)
COLUMNS = (
    Column("method", "Method"),
    Column("seeds", "Seeds", ("runs", "diverged", "skipped", "failed")),
    Column("seconds", "Seconds\nper run", ("run",)),
    Column("compile", "Seconds to\ncompile", ("compile",)),
    Column("steps", "Steps\nper second", ("steps",)),
    Column("inputs", "Inputs\nper second", ("inputs",)),
    Column("host", "Memory:\nprocess", ("bytes",)),
    Column("device", "Memory:\naccelerator", ("bytes",)),
)


def cost_tables(records: Sequence[Record]) -> list[Table]:
    """One table per task, with the rows of its result table.

    Raises:
        UserError: no records, or two results of one setting and seed.
    """
    return [_cost_table(task, group) for task, group in group_for_tables(records).items()]


def _cost_table(task: str, records: Sequence[Record]) -> Table:
    rows = tuple(
        (
            Cell(row.name),
            cells.seeds_cell(row),
            cells.number_cell(cells.seconds_per_run(row)),
            cells.number_cell(cells.seconds_to_compile(row)),
            cells.number_cell(cells.steps_per_second(row)),
            cells.number_cell(inputs_per_second(row)),
            cells.peak_memory_cell([row], "host"),
            cells.peak_memory_cell([row], "device"),
        )
        for row in build_rows(records)
        if row.runs
    )
    return Table(f"{task}: cost of runs", COLUMNS, rows, (NOTE, *provenance(records)))


def inputs_per_second(row: Row) -> float | None:
    """Labelled rows that one run trains on per second; None if unknown, or if a step takes all rows."""
    steps, training = cells.steps_per_second(row), row.first.config["training"]
    batch_size = training["batch_size"] if training else None
    return steps * batch_size if steps and batch_size else None
