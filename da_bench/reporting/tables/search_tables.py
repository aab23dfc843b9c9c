"""Tables of searches."""

from collections.abc import Sequence

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.reporting.stats.paired import PairedTest, paired_t_test
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, gain_cell, number_cell, verdict_cell
from da_bench.reporting.tables.naming import format_setting, run_settings
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import Row, align_seeds, group_for_tables
from da_bench.reporting.tables.searches import Search, find_searches, matching_source_only
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

MEAN = ("mean", "half_width", "n")

COLUMNS = (
    Column("method", "Method"),
    Column("budget", "Budget:\ntrials × seeds", ("trials", "seeds")),
    Column("seconds", "Seconds\nin all", ("seconds",)),
    Column("rule", "Chosen by"),
    Column("setting", "Setting"),
    Column("target", "Target acc.", MEAN),
    Column("default", "Target acc.\nof the default", MEAN),
    Column("gain", "Gain over\nsource only\n(same budget)", ("mean", "half_width", "p", "n")),
    Column("verdict", "Verdict"),
)

CHOICE_NOTE = (
    "A rule takes of each run the checkpoint that it scores best, and of all settings the one whose scores there are "
    "best in the mean over seeds; of equal ones the default, if it is among them. 'last step' is the default setting "
    "without any search."
)

NOTE = (
    f"{CHOICE_NOTE} Accuracies: percent of the target test split, mean ± half width of the 95 % t interval over "
    "seeds, of the setting chosen by these same seeds. Gain: mean difference in points from source only, searched with "
    "the same budget and chosen by the same rule, on the same seeds [95 % interval], p of a two-sided paired t test."
)


def search_tables(records: Sequence[Record], rules: Sequence[str]) -> list[Table]:
    """One table a task on which there are searches: what each of `rules` chooses of every method's settings.

    Raises:
        UserError: for no records, or two results of one setting and seed.
    """
    found = {task: find_searches(group) for task, group in group_for_tables(records).items()}
    return [_table(task, searches, rules) for task, searches in found.items() if searches]


def _table(task: str, searches: Sequence[Search], rules: Sequence[str]) -> Table:
    rows = tuple(_row(one, matching_source_only(one, searches), rule) for one in searches for rule in rules)
    records = [run for one in searches for row in one.rows for run in row.runs]
    notes = (*_budgets(searches), NOTE, *_optimism(searches, rules), *provenance(records))
    return Table(f"Search, {task}", COLUMNS, rows, notes)


def _row(search: Search, base: Search | None, rule: str) -> tuple[Cell, ...]:
    trials, seeds = search.budget
    chosen, mark = search.chosen(rule), "oracle" if rule == ORACLE else ""
    default = search.default.scores(rule) if search.default else {}
    head = (
        Cell(search.name),
        Cell(f"{trials} × {seeds}", (trials, seeds)),
        number_cell(search.seconds),
        Cell(RULES[rule] + ("*" if rule == ORACLE else ""), (), mark),
    )
    if chosen is None:
        return (*head, *[MISSING] * (len(COLUMNS) - len(head)))
    gain = _gain(chosen, base, rule)
    return (
        *head,
        Cell(_said(search, chosen), (), mark),
        accuracy_cell(chosen.scores(rule), mark),
        DASH if rule == LAST else accuracy_cell(default, mark),
        gain_cell(chosen, gain),
        verdict_cell(chosen, gain),
    )


def _said(search: Search, row: Row) -> str:
    """What a setting is, of the fields that differ: "learning_rate=0.01, weight=0.3"."""
    values = ", ".join(
        f"{field.rpartition('.')[2]}={format_setting(run_settings(row.first)[field])}" for field in search.fields
    )
    return f"{values} (default)" if row is search.default else values


def _gain(chosen: Row, base: Search | None, rule: str) -> PairedTest | None:
    pairs = align_seeds(chosen.scores(rule), base.chosen_scores(rule) if base else {})
    return paired_t_test(*pairs) if pairs[0] else None


def _budgets(searches: Sequence[Search]) -> list[str]:
    budgets = {one.budget for one in searches}
    if len(budgets) == 1:
        return []
    listed = ", ".join(f"{trials} × {seeds}" for trials, seeds in sorted(budgets))
    return [f"WARNING: budgets differ (trials × seeds: {listed}): a gain is over source only with the same, or n/a."]


def _optimism(searches: Sequence[Search], rules: Sequence[str]) -> list[str]:
    """How far the oracle's choice is above that of rules that search without target labels."""
    said = []
    for rule in (one for one in rules if one not in (LAST, ORACLE)):
        pairs = [(one.chosen(ORACLE), one.chosen(rule)) for one in searches]
        gaps = [_mean(best, ORACLE) - _mean(ours, rule) for best, ours in pairs if best and ours]
        if gaps:
            said.append(f"{100 * np.mean(gaps):.1f} above {RULES[rule]}")
    cheats = "* The oracle cheats: it chooses checkpoint and setting by the target's test labels, which nobody has."
    return [f"{cheats} Its optimism, in points, mean over methods: {', '.join(said)}."] if said else []


def _mean(row: Row, rule: str) -> float:
    return float(np.mean(list(row.scores(rule).values())))
