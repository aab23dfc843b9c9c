"""Result tables: every method next to source only and the upper bound, under every selection rule."""

import textwrap
from collections.abc import Sequence

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS
from da_bench.reporting.stats.rank_tests import MIN_PAIRS
from da_bench.reporting.tables import cells
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, gain_over_source_only, percent, seeds_cell
from da_bench.reporting.tables.naming import TARGET_ONLY_HELD_OUT, method_key
from da_bench.reporting.tables.pair_tables import pair_tables
from da_bench.reporting.tables.provenance import describe_seed_counts, provenance
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables, reference_row
from da_bench.reporting.tables.rules import DEFAULT_RULES, shown_rules
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

MEAN = ("mean", "half_width", "n")
CELLS_NOTE = (
    "Accuracies are in percent of the target test split: mean ± half width of the 95 % t interval over seeds "
    "(no ±: one seed). n/a: no such run or measurement."
)
MARKS_NOTE = (
    "Bold (** in plain text): best mean of its column. Underlined (_): not significantly different from the best by a "
    "paired t test over common seeds (p >= .05, not corrected for multiple comparisons). The oracle and the upper "
    "bound are not ranked."
)
GAIN_NOTE = (
    "Gain: mean difference from source only (for a classical method: from its own classifier without adaptation) in "
    "points, both under the declared rule on the same seeds [95 % interval], with p of a two-sided paired t test over "
    "seeds. Neither p nor the verdict is corrected for multiple comparisons. No claim across pairs is made below "
    f"{MIN_PAIRS} pairs."
)
HELD_OUT_NOTE = (
    f"{TARGET_ONLY_HELD_OUT}: trained on the labels of the target's training split and scored on its test split, as in "
    "the pair's inductive task. Gap closed refers to it. The other upper bound is scored on the rows that it was "
    "trained on."
)
ORACLE_NOTE = (
    "* The oracle selects by target labels, which are not available in practice: an upper limit for selection, not a "
    "result."
)
GAP_NOTE = "Selection gap: target accuracy of the oracle minus that of the declared rule, in points, mean over seeds."
DISTANCE_NOTE = (
    "A-distance: proxy A-distance (0: domains indistinguishable, 2: perfectly separable) of source-only features → of "
    "this method's features, on the same seeds. Seconds: wall time of a run; runs computed together share the time. "
    "The CSV file has the time to compile."
)
DIVERGED_NOTE = "† Runs that diverged. They count with chance accuracy."


def result_tables(records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES) -> list[Table]:
    """One table per task, in order of first appearance.

    Source only comes first, upper bounds last. A gain is the difference from the source-only row with the same model
    and training, seed by seed. Rows that differ in more than the method are not compared.

    Args:
        records: records of one or several tasks.
        rule: selection rule declared for the comparison.
        others: rules with a column besides "last", the declared rule and the oracle.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    rules = shown_rules(rule, others)
    return [_result_table(task, group, rule, rules) for task, group in group_for_tables(records).items()]


def _result_table(task: str, records: list[Record], rule: str, rules: Sequence[str]) -> Table:
    rows = build_rows(records)
    marks = {name: cells.column_marks(rows, name) for name in rules}
    columns = (
        Column("method", "Method"),
        Column("seeds", "Seeds", ("runs", "diverged", "skipped", "failed")),
        Column("source", "Source acc.\n(declared\nrule)", MEAN),
        *_rule_columns(rule, rules, MEAN),
        Column("selection_gap", "Selection\ngap", MEAN),
        Column("gain", "Gain over\nsource only\n(declared rule)", ("mean", "half_width", "p", "n")),
        Column("verdict", "Verdict"),
        Column("gap_closed", "Gap\nclosed", ("share",)),
        Column("a_distance", "A-distance\nbefore → after", ("before", "after")),
        Column("seconds", "Seconds\nper run", ("run", "compile")),
    )
    table_rows = []
    for i, row in enumerate(rows):
        if row.runs:
            table_rows.append(_result_row(row, rows, rule, {name: marks[name][i] for name in rules}))
        else:
            table_rows.append(_row_without_runs(row, columns))
    return Table(task, columns, tuple(table_rows), (*_result_notes(rows, rule, rules), *provenance(records)))


def _rule_columns(rule: str, rules: Sequence[str], parts: tuple[str, ...]) -> list[Column]:
    columns = []
    for name in rules:
        title = "Target acc.:\n" + textwrap.fill(RULES[name], 12, break_on_hyphens=False)
        star, declared = "*" if name == ORACLE else "", "\n(declared)" if name == rule else ""
        columns.append(Column(f"target_{name}", title + star + declared, parts))
    return columns


def _result_row(row: Row, rows: Sequence[Row], rule: str, marks: dict[str, Mark]) -> tuple[Cell, ...]:
    gain = gain_over_source_only(row, rows, rule)
    return (
        Cell(row.name),
        seeds_cell(row),
        accuracy_cell(row.scores(rule, "source_accuracy")),
        *(accuracy_cell(row.scores(name), mark) for name, mark in marks.items()),
        accuracy_cell(cells.selection_gaps(row, rule)),
        cells.gain_cell(row, gain),
        cells.verdict_cell(row, gain),
        cells.gap_closed_cell(row, rows, rule),
        cells.distance_cell(row, rows),
        cells.seconds_cell(row),
    )


def _row_without_runs(row: Row, columns: Sequence[Column]) -> tuple[Cell, ...]:
    """Only name, counts and the reasons, in the column of verdicts."""
    reasons = join_unique(_reason(record) for record in row.skipped + row.failed)
    known = {"method": Cell(row.name), "seeds": seeds_cell(row), "verdict": Cell(reasons)}
    return tuple(known.get(column.key, DASH) for column in columns)


def _reason(record: Record) -> str:
    """Why a run left no result: "failed (timeout): not done after 60 seconds"."""
    cause = record.result.get("cause")
    reason = record.result.get("reason") or "no reason recorded"
    return f"{record.result['status']}{f' ({cause})' if cause else ''}: {reason}"


def _result_notes(rows: Sequence[Row], rule: str, rules: Sequence[str]) -> list[str]:
    failures = [f"{row.name}: {_reason(record)}" for row in rows for record in row.failed if row.runs]
    return [
        *_context_notes(rows),
        f"{describe_seed_counts(rows)}. Declared rule: {RULES[rule]}. {GAIN_NOTE}",
        CELLS_NOTE,
        MARKS_NOTE,
        _rules_note(rules),
        GAP_NOTE,
        *([DIVERGED_NOTE] if any(row.diverged for row in rows) else []),
        *([f"Runs without a result are not part of any mean. {join_unique(failures)}"] if failures else []),
        DISTANCE_NOTE,
        *([HELD_OUT_NOTE] if any(row.name.startswith(TARGET_ONLY_HELD_OUT) for row in rows) else []),
        *_expected_failure_notes(rows),
    ]


def _expected_failure_notes(rows: Sequence[Row]) -> list[str]:
    """A note of the checks of `da-bench check` that methods are declared to fail, with the reason."""
    methods: dict[tuple[str, str], dict[str, None]] = {}
    for record in (row.first for row in rows if not row.uses_target_labels):
        for check in record.result.get("expected_failed_checks", {}).items():
            methods.setdefault(check, {})[record.config["method"]["name"]] = None
    failures = (f"{', '.join(names)}: {check} ({reason})" for (check, reason), names in methods.items())
    return [f"Checks that a method is declared to fail: {'; '.join(failures)}."] if methods else []


def _context_notes(rows: Sequence[Row]) -> list[str]:
    """A note if rows differ in model or training; a warning if a row has no comparable source only."""
    # A classical method has no model.* and no training.* settings; it is not compared here.
    contexts = [row.context for row in rows if "model" not in row.context]
    names = dict.fromkeys(name for context in contexts for name in context)
    differing = [name for name in names if len({context.get(name) for context in contexts}) > 1]
    if not differing:
        return []
    note = (
        f"Rows differ in more than the method ({join_unique(differing)}): a gain is over source only with the same "
        "model and training."
    )
    incomparable = any(row.is_source_only for row in rows) and not all(reference_row(row, rows) for row in rows)
    return [f"WARNING: {note} n/a: there is none." if incomparable else note]


def _rules_note(rules: Sequence[str]) -> str:
    """Which rules select without target labels, and which with: "A, B and C select without target labels. ..."."""
    titles = [RULES[name] for name in rules if name in VALIDATORS]
    listed = " and ".join([", ".join(titles[:-1]), titles[-1]] if len(titles) > 1 else titles)
    verb = "select" if len(titles) > 1 else "selects"
    return f"{listed} {verb} the checkpoint without target labels. {ORACLE_NOTE}"


def tables_over_pairs(
    records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES
) -> list[Table]:
    """Tables over pairs: methods by pairs, gains over pairs, means under every rule. None for a single pair.

    Arguments and errors as of `result_tables`.
    """
    across = across_pairs_table(records, rule, others)
    return [*pair_tables(records, rule), *([across] if across else [])]


def across_pairs_table(
    records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES
) -> Table | None:
    """Means over pairs under every rule, of the methods that ran on every pair. None for a single pair.

    A method is the same on two pairs if all its fields are equal and it has the same name in both tables. Arguments
    and errors as of `result_tables`.
    """
    rules = shown_rules(rule, others)
    pairs = [
        {(row.name, method_key(row.first)): row for row in build_rows(group) if row.runs}
        for group in group_for_tables(records).values()
    ]
    if len(pairs) < 2:
        return None
    on_every_pair = [key for key in pairs[0] if all(key in rows for rows in pairs)]
    left_out = join_unique(key[0] for rows in pairs for key in rows if key not in on_every_pair)
    columns = (
        Column("method", "Method"),
        Column("pairs", "Pairs", ("pairs",)),
        *_rule_columns(rule, rules, ("mean",)),
        Column("selection_gap", "Selection\ngap", ("mean",)),
    )
    table_rows = tuple(_across_row([rows[key] for rows in pairs], rule, rules) for key in on_every_pair)
    notes = (
        f"{len(pairs)} pairs. Mean over pairs of the mean target accuracy over seeds, in percent. "
        f"Declared rule: {RULES[rule]}.",
        _rules_note(rules),
        GAP_NOTE,
        *([f"Left out because they were not run on every pair: {left_out}."] if left_out else []),
        *provenance(records),
    )
    return Table(f"Mean over {len(pairs)} pairs", columns, table_rows, notes)


def _across_row(rows: list[Row], rule: str, rules: Sequence[str]) -> tuple[Cell, ...]:
    return (
        Cell(rows[0].name),
        Cell(str(len(rows)), (len(rows),)),
        *(_mean_over_pairs([row.scores(name) for row in rows], name) for name in rules),
        _mean_over_pairs([cells.selection_gaps(row, rule) for row in rows]),
    )


def _mean_over_pairs(scores: list[dict[int, float]], rule: str = LAST) -> Cell:
    if not all(scores):
        return MISSING
    mean = float(np.mean([np.mean(list(by_seed.values())) for by_seed in scores]))
    return Cell(percent(mean), (mean,), "oracle" if rule == ORACLE else "")
