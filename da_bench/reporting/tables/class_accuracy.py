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
    """One table per task: macro and per-class target accuracy under a selection rule. Classes are shown by index.

    Raises:
        UserError: as `result_tables`.
    """
    check_rule(rule)
    return [_class_table(task, group, rule) for task, group in group_for_tables(records).items()]


def _class_table(task: str, records: list[Record], rule: str) -> Table:
    rows = [row for row in build_rows(records) if row.runs]
    per_class = [_class_scores(row, rule) for row in rows]
    classes = max((len(scores) for scores in per_class), default=0)
    class_columns = [Column(f"class_{i}", f"Class {i}", MEAN) for i in range(classes)]
    columns = (Column("method", "Method"), Column("macro", "Macro acc.", MEAN), *class_columns)
    table_rows = []
    for row, scores in zip(rows, per_class, strict=True):
        padded = scores + [{}] * (classes - len(scores))
        macro = accuracy_cell(row.scores(rule, "target_macro"))
        table_rows.append((Cell(row.name), macro, *(accuracy_cell(by_seed) for by_seed in padded)))
    note = f"{describe_seed_counts(rows)}. Rule: {RULES[rule]}. Macro: mean over classes. {CELLS_NOTE}"
    title = f"{task}: target accuracy by class"
    return Table(title, columns, tuple(table_rows), (note, *provenance(records)))


def _class_scores(row: Row, rule: str) -> list[dict[int, float]]:
    """Seed -> accuracy of each class; empty for a class without rows in the target's test split."""
    lists = {run.config["seed"]: run.result["rules"].get(rule, {}).get("target_per_class") or [] for run in row.runs}
    classes = max((len(values) for values in lists.values()), default=0)
    return [
        {seed: values[i] for seed, values in lists.items() if i < len(values) and values[i] is not None}
        for i in range(classes)
    ]
