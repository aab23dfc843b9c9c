"""Records -> tables: every method beside source only and the upper bound, by every selection rule, with intervals."""

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
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

MEAN = ("mean", "half_width", "n")

CELLS_NOTE = (
    "Accuracies are percent of the target test split: mean ± half width of the 95 % t interval over seeds "
    "(no ±: one seed). n/a: no such run or measurement."
)

MARKS_NOTE = (
    "Bold (** in plain text): best mean of its column; underlined (_): not distinguishable from the best by a paired t "
    "test over the common seeds (p >= .05, not corrected for many comparisons). The "
    "oracle and the upper bound do not compete."
)

GAIN_NOTE = (
    "Gain: mean difference from source only (of a classical method, from its own classifier without adaptation) in "
    "points, both by the declared rule on the same seeds [95 % interval], p "
    "of a two-sided paired t test over seeds, like the verdict not corrected for many comparisons. "
    f"No claim across pairs is made below {MIN_PAIRS} pairs."
)

HELD_OUT_NOTE = (
    f"{TARGET_ONLY_HELD_OUT}: trained on the labels of the target's training split and scored on its test split, as "
    "the pair's inductive task has them, and what Gap closed refers to; the bound of this protocol is scored on the "
    "rows that it was trained on, and says nothing of others."
)

ORACLE_NOTE = (
    "* The oracle cheats: it picks it by target labels, which nobody has; an upper limit for selection, not a result."
)

GAP_NOTE = "Selection gap: the oracle's target accuracy minus that of the declared rule, in points, mean over seeds."

DISTANCE_NOTE = (
    "A-distance: proxy A-distance (0: domains alike, 2: told apart) of source-only features → of this method's, same "
    "seeds. Seconds: wall time divided by the runs that ran together; compilation is apart, in the CSV."
)


def result_tables(records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES) -> list[Table]:
    """One table a task, in order of first appearance; `rule` is the selection rule declared for the comparison.

    others: rules with a column, beside last, the declared one and the oracle.

    Source only comes first, the upper bound last. A gain is read against the source-only row with the same model and
    training, seed by seed; rows that differ in more than the method are not compared.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    shown = shown_rules(rule, others)
    return [_result_table(task, group, rule, shown) for task, group in group_for_tables(records).items()]


def _result_table(task: str, records: list[Record], rule: str, shown: Sequence[str]) -> Table:
    rows = build_rows(records)
    marks = {one: cells.column_marks(rows, one) for one in shown}
    filled = [_result_row(row, rows, rule, {one: marks[one][i] for one in shown}) for i, row in enumerate(rows)]
    columns = _result_columns(rule, shown)
    return Table(task, columns, tuple(filled), (*_result_notes(rows, rule, shown), *provenance(records)))


def _result_columns(rule: str, shown: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("method", "Method"),
        Column("seeds", "Seeds", ("runs", "diverged", "skipped", "failed")),
        Column("source", "Source acc.\n(declared\nrule)", MEAN),
        *_rule_columns(rule, shown, MEAN),
        Column("selection_gap", "Selection\ngap", MEAN),
        Column("gain", "Gain over\nsource only\n(declared rule)", ("mean", "half_width", "p", "n")),
        Column("verdict", "Verdict"),
        Column("gap_closed", "Gap\nclosed", ("share",)),
        Column("a_distance", "A-distance\nbefore → after", ("before", "after")),
        Column("seconds", "Seconds\nper run", ("run", "compile")),
    )


def _rule_columns(rule: str, shown: Sequence[str], parts: tuple[str, ...]) -> list[Column]:
    declared = {one: "\n(declared)" if one == rule else "" for one in shown}
    return [Column(f"target_{one}", _heading(one) + declared[one], parts) for one in shown]


def _heading(rule: str) -> str:
    return "Target acc.:\n" + textwrap.fill(RULES[rule], 12, break_on_hyphens=False) + ("*" if rule == ORACLE else "")


def _result_row(row: Row, rows: Sequence[Row], rule: str, marks: dict[str, str]) -> tuple[Cell, ...]:
    if not row.runs:
        return _unmade_row(row, _result_columns(rule, list(marks)))
    gain = gain_over_source_only(row, rows, rule)
    return (
        Cell(row.name),
        seeds_cell(row),
        accuracy_cell(row.scores(rule, "source_accuracy")),
        *(accuracy_cell(row.scores(one), mark) for one, mark in marks.items()),
        cells.selection_gap_cell(row, rule),
        cells.gain_cell(row, gain),
        cells.verdict_cell(row, gain),
        cells.gap_closed_cell(row, rows, rule),
        cells.distance_cell(row, rows),
        cells.seconds_cell(row),
    )


def _unmade_row(row: Row, columns: Sequence[Column]) -> tuple[Cell, ...]:
    reason = join_unique(_why(record) for record in row.skipped + row.failed)
    filled = [DASH] * len(columns)
    filled[0], filled[1] = Cell(row.name), seeds_cell(row)
    filled[[column.key for column in columns].index("verdict")] = Cell(reason)
    return tuple(filled)


def _why(record: Record) -> str:
    cause = record.result.get("cause")
    reason = record.result.get("reason") or "no reason recorded"
    return f"{record.result['status']}{f' ({cause})' if cause else ''}: {reason}"


def _failures(rows: Sequence[Row]) -> list[str]:
    causes = [f"{row.name}: {_why(record)}" for row in rows for record in row.failed if row.runs]
    return [f"Runs that left no result are in no mean. {join_unique(causes)}"] if causes else []


def _result_notes(rows: Sequence[Row], rule: str, shown: Sequence[str]) -> list[str]:
    diverged = "† Runs that diverged: they count, with chance accuracy."
    return [
        *_mismatches(rows),
        f"{describe_seed_counts(rows)}. Declared rule: {RULES[rule]}. {GAIN_NOTE}",
        CELLS_NOTE,
        MARKS_NOTE,
        _rules_note(shown),
        GAP_NOTE,
        *([diverged] if any(row.diverged for row in rows) else []),
        *_failures(rows),
        DISTANCE_NOTE,
        *([HELD_OUT_NOTE] if any(row.name.startswith(TARGET_ONLY_HELD_OUT) for row in rows) else []),
        *_declared(rows),
    ]


def _declared(rows: Sequence[Row]) -> list[str]:
    """A note of the checks of `da-bench check` that methods declare they cannot pass, by check and reason."""
    methods: dict[tuple[str, str], dict[str, None]] = {}
    for record in (row.first for row in rows if not row.is_bound):
        for check in record.result.get("expected_failed_checks", {}).items():
            methods.setdefault(check, {})[record.config["method"]["name"]] = None
    each = (f"{', '.join(names)}: {check} ({reason})" for (check, reason), names in methods.items())
    return [f"Checks that a method declares it cannot pass: {'; '.join(each)}."] if methods else []


def _mismatches(rows: Sequence[Row]) -> list[str]:
    """A note if rows differ in model or training, loud if a row has no source only to be read against for that."""
    contexts = [row.context for row in rows]
    # a row without a network has no model.* and no training.* to differ in: it is left out of the list, not of the rest
    deep = [one for one in contexts if "model" not in one]
    differ = [
        name for name in dict.fromkeys(name for one in deep for name in one) if len({one.get(name) for one in deep}) > 1
    ]
    if not differ:
        return []
    alone = any(row.is_source_only for row in rows) and not all(reference_row(row, rows) for row in rows)
    note = f"Rows differ in more than the method ({join_unique(differ)}): a gain is over source only with the same."
    return [f"WARNING: {note} Where it is n/a, there is none." if alone else note]


def _rules_note(shown: Sequence[str]) -> str:
    """Which rules see no target label, and which does: "A, B and C pick the step without target labels."."""
    free = [RULES[one] for one in shown if one in VALIDATORS]
    listed = " and ".join([", ".join(free[:-1]), free[-1]] if len(free) > 1 else free)
    return f"{listed} {'pick' if len(free) > 1 else 'picks'} the step without target labels. {ORACLE_NOTE}"


def across_pairs_table(
    records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES
) -> Table | None:
    """Means over pairs, by every rule, of the methods that ran on every pair; None with one pair.

    A method is the same on two pairs if all its own fields are, and it is called the same in both tables.

    Raises:
        UserError: as `result_tables`.
    """
    shown = shown_rules(rule, others)
    pairs = [build_rows(group) for group in group_for_tables(records).values()]
    if len(pairs) < 2:
        return None
    found = [{(row.name, method_key(row.first)): row for row in rows if row.runs} for rows in pairs]
    everywhere = [key for key in found[0] if all(key in rows for rows in found)]
    filled = tuple(_across_row([rows[key] for rows in found], rule, shown) for key in everywhere)
    left_out = join_unique(key[0] for rows in found for key in rows if key not in everywhere)
    notes = (*_across_notes(len(pairs), rule, left_out, shown), *provenance(records))
    return Table(f"Mean over {len(pairs)} pairs", _across_columns(rule, shown), filled, notes)


def tables_over_pairs(
    records: Sequence[Record], rule: str = "last", others: Sequence[str] = DEFAULT_RULES
) -> list[Table]:
    """Methods x pairs, gains over pairs, means by every rule; none where there is but one pair.

    Raises:
        UserError: as `result_tables`.
    """
    across = across_pairs_table(records, rule, others)
    return [*pair_tables(records, rule), *([across] if across else [])]


def _across_columns(rule: str, shown: Sequence[str]) -> tuple[Column, ...]:
    return (
        Column("method", "Method"),
        Column("pairs", "Pairs", ("pairs",)),
        *_rule_columns(rule, shown, ("mean",)),
        Column("selection_gap", "Selection\ngap", ("mean",)),
    )


def _across_row(same: list[Row], rule: str, shown: Sequence[str]) -> tuple[Cell, ...]:
    return (
        Cell(same[0].name),
        Cell(str(len(same)), (len(same),)),
        *(_mean_over_pairs([row.scores(one) for row in same], one) for one in shown),
        _mean_over_pairs([cells.selection_gaps(row, rule) for row in same]),
    )


def _mean_over_pairs(scores: list[dict[int, float]], rule: str = LAST) -> Cell:
    if not all(scores):
        return MISSING
    mean = float(np.mean([np.mean(list(one.values())) for one in scores]))
    return Cell(percent(mean), (mean,), "oracle" if rule == ORACLE else "")


def _across_notes(pairs: int, rule: str, left_out: str, shown: Sequence[str]) -> list[str]:
    missing = [f"Left out, for not being on every pair: {left_out}."] if left_out else []
    means = f"Mean over pairs of the mean target accuracy over seeds, in percent. Declared rule: {RULES[rule]}."
    return [f"{pairs} pairs. {means}", _rules_note(shown), GAP_NOTE, *missing]
