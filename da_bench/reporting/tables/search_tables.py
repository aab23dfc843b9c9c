"""Tables of searches: what a budget of settings yields under each selection rule, next to the default setting."""

from collections.abc import Sequence

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.stats.paired import paired_t_test
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, gain_cell, number_cell, verdict_cell
from da_bench.reporting.tables.naming import format_setting, run_settings
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import Row, align_seeds, group_for_tables
from da_bench.reporting.tables.searches import Search, find_searches, matching_source_only
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.studies.records import Record

MEAN = ("mean", "half_width", "n")
COLUMNS = (
    Column("method", "Method"),
    Column("budget", "Budget:\ntrials × seeds", ("trials", "seeds")),
    Column("seconds", "Seconds\nin total", ("seconds",)),
    Column("rule", "Selected by"),
    Column("setting", "Setting"),
    Column("target", "Target acc.", MEAN),
    Column("default", "Target acc.\nof the default", MEAN),
    Column("gain", "Gain over\nsource only\n(same budget)", ("mean", "half_width", "p", "n")),
    Column("verdict", "Verdict"),
)
CHOICE_NOTE = (
    "A rule selects the best-scored checkpoint of each run, and the setting whose scores there have the best mean over "
    "seeds; of equal settings the default, if it is among them. 'last step' is the default setting without any search."
)
NOTE = (
    f"{CHOICE_NOTE} Accuracies: percent of the target test split, mean ± half width of the 95 % t interval over seeds; "
    "the same seeds selected the setting. Gain: mean difference in points from source only, searched with the same "
    "budget and selected by the same rule, on the same seeds [95 % interval], with p of a two-sided paired t test."
)


def search_tables(records: Sequence[Record], rules: Sequence[str]) -> list[Table]:
    """One table for each task with searches: the setting of every method that each rule selects.

    Args:
        records: records of one or several tasks.
        rules: selection rules.

    Raises:
        UserError: no records, or two results of one setting and seed.
    """
    tables = []
    for task, group in group_for_tables(records).items():
        searches = find_searches(group)
        if searches:
            tables.append(_search_table(task, searches, rules))
    return tables


def _search_table(task: str, searches: Sequence[Search], rules: Sequence[str]) -> Table:
    rows = tuple(
        _search_row(search, matching_source_only(search, searches), rule) for search in searches for rule in rules
    )
    records = [run for search in searches for row in search.rows for run in row.runs]
    notes = (*_budget_warnings(searches), NOTE, *_optimism_notes(searches, rules), *provenance(records))
    return Table(f"Search, {task}", COLUMNS, rows, notes)


def _search_row(search: Search, base: Search | None, rule: str) -> tuple[Cell, ...]:
    trials, seeds = search.budget
    mark: Mark = "oracle" if rule == ORACLE else ""
    head = (
        Cell(search.name),
        Cell(f"{trials} × {seeds}", (trials, seeds)),
        number_cell(search.seconds),
        Cell(RULES[rule] + ("*" if rule == ORACLE else ""), (), mark),
    )
    selected = search.selected_row(rule)
    if selected is None:
        return (*head, *[MISSING] * (len(COLUMNS) - len(head)))
    scores, base_scores = align_seeds(selected.scores(rule), base.selected_scores(rule) if base else {})
    gain = paired_t_test(scores, base_scores) if scores else None
    default = search.default.scores(rule) if search.default else {}
    return (
        *head,
        Cell(_describe_setting(search, selected), (), mark),
        accuracy_cell(selected.scores(rule), mark),
        DASH if rule == LAST else accuracy_cell(default, mark),
        gain_cell(selected, gain),
        verdict_cell(selected, gain),
    )


def _describe_setting(search: Search, row: Row) -> str:
    """Values of the settings that differ: "learning_rate=0.01, weight=0.3"."""
    settings = run_settings(row.first)
    values = ", ".join(f"{field.rpartition('.')[2]}={format_setting(settings[field])}" for field in search.fields)
    return f"{values} (default)" if row is search.default else values


def _budget_warnings(searches: Sequence[Search]) -> list[str]:
    budgets = {search.budget for search in searches}
    if len(budgets) == 1:
        return []
    listed = ", ".join(f"{trials} × {seeds}" for trials, seeds in sorted(budgets))
    return [
        f"WARNING: budgets differ (trials × seeds: {listed}). A gain is over source only with the same budget; n/a: "
        "there is none."
    ]


def _optimism_notes(searches: Sequence[Search], rules: Sequence[str]) -> list[str]:
    """By how much the oracle's selection is above that of the rules without target labels."""
    gaps = []
    for rule in rules:
        if rule in (LAST, ORACLE):
            continue
        pairs = [(search.selected_row(ORACLE), search.selected_row(rule)) for search in searches]
        differences = [
            _mean_accuracy(oracle, ORACLE) - _mean_accuracy(selected, rule)
            for oracle, selected in pairs
            if oracle and selected
        ]
        if differences:
            gaps.append(f"{100 * np.mean(differences):.1f} above {RULES[rule]}")
    if not gaps:
        return []
    oracle = "* The oracle selects checkpoint and setting by the target's test labels, which nobody has in practice."
    return [f"{oracle} Its optimism in points, mean over methods: {', '.join(gaps)}."]


def _mean_accuracy(row: Row, rule: str) -> float:
    return float(np.mean(list(row.scores(rule).values())))
