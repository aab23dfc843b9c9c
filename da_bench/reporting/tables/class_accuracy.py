"""Tables of the target accuracy by class."""

from collections.abc import Sequence

from da_bench.evaluation.validators import RULES
from da_bench.reporting.tables.cells import accuracy_cell
from da_bench.reporting.tables.provenance import describe_seed_counts, provenance
from da_bench.reporting.tables.result_tables import CELLS_NOTE, MEAN
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record


def class_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """One table a task: macro and per-class target accuracy at `rule`, classes by their index.

    Raises:
        UserError: as `result_tables`.
    """
    check_rule(rule)
    return [_class_table(task, group, rule) for task, group in group_for_tables(records).items()]


def _class_table(task: str, records: list[Record], rule: str) -> Table:
    rows = [row for row in build_rows(records) if row.runs]
    per_class = [_class_scores(row, rule) for row in rows]
    count = max((len(scores) for scores in per_class), default=0)
    numbered = [Column(f"class_{i}", f"Class {i}", MEAN) for i in range(count)]
    columns = (Column("method", "Method"), Column("macro", "Macro acc.", MEAN), *numbered)
    shown = [_class_row(row, scores, count, rule) for row, scores in zip(rows, per_class, strict=True)]
    heading = f"{task}: target accuracy by class"
    notes = (
        f"{describe_seed_counts(rows)}. Rule: {RULES[rule]}. Macro: mean over classes. {CELLS_NOTE}",
        *provenance(records),
    )
    return Table(heading, columns, tuple(shown), notes)


def _class_row(row: Row, scores: list[dict[int, float]], count: int, rule: str) -> tuple[Cell, ...]:
    padded = scores + [{}] * (count - len(scores))
    return (Cell(row.name), accuracy_cell(row.scores(rule, "target_macro")), *(accuracy_cell(one) for one in padded))


def _class_scores(row: Row, rule: str) -> list[dict[int, float]]:
    """Seed -> accuracy, for each class; a class that the target test split does not hold has none."""
    lists = {run.config["seed"]: run.result["rules"].get(rule, {}).get("target_per_class") or [] for run in row.runs}
    count = max((len(values) for values in lists.values()), default=0)
    held = [{seed: values[i] for seed, values in lists.items() if i < len(values)} for i in range(count)]
    return [{seed: value for seed, value in one.items() if value is not None} for one in held]
