"""Records -> what runs cost: time, speed and memory, row by row of each task."""

from collections.abc import Sequence

from da_bench.reporting.tables import cells
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

NOTE = (
    "Seconds: wall time of a run divided by the runs that ran together, evaluations included; compiling is apart, paid "
    "once for those. Inputs per second: steps per second times the rows of the labelled domain in a step, images "
    "where the inputs are; a method that adapts passes as many of the target besides. Memory: the most that the "
    "process, and apart from it the accelerator, had held by the end of a run; with --isolate it is the run's own."
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
    """One table a task, rows as in its table of results.

    Raises:
        UserError: for no records, or two results of one setting and seed.
    """
    return [_table(task, group) for task, group in group_for_tables(records).items()]


def _table(task: str, records: Sequence[Record]) -> Table:
    rows = tuple(_row(row) for row in build_rows(records) if row.runs)
    return Table(f"{task}: what runs cost", COLUMNS, rows, (NOTE, *provenance(records)))


def _row(row: Row) -> tuple[Cell, ...]:
    return (
        Cell(row.name),
        cells.seeds_cell(row),
        cells.number_cell(cells.seconds_per_run(row)),
        cells.number_cell(_compiling(row)),
        cells.number_cell(cells.steps_per_second(row)),
        cells.number_cell(inputs_a_second(row)),
        cells.peak_memory_cell([row], "host"),
        cells.peak_memory_cell([row], "device"),
    )


def _compiling(row: Row) -> float | None:
    return cells.mean_of_known([(run.result.get("seconds") or {}).get("compile") for run in row.runs])


def inputs_a_second(row: Row) -> float | None:
    """Rows of the labelled domain that one run trains on in a second; None where not known, or a step takes all."""
    steps, training = cells.steps_per_second(row), row.first.config["training"]
    batch = training["batch_size"] if training else None
    return steps * batch if steps and batch else None
