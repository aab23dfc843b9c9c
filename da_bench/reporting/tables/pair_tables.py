"""Tables over domain pairs: methods by pairs, and what the pairs together show about every method."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.evaluation.validators import RULES
from da_bench.reporting.stats.aggregates import (
    MIN_RUNS,
    iqm,
    iqm_interval,
    probability_of_improvement,
    probability_of_improvement_interval,
)
from da_bench.reporting.stats.rank_tests import (
    MIN_PAIRS,
    SIGNIFICANCE_LEVEL,
    SignedRank,
    holm,
    mean_ranks,
    signed_rank,
    smallest_p,
)
from da_bench.reporting.tables import cells
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, format_p, percent
from da_bench.reporting.tables.over_pairs import (
    MethodOverPairs,
    has_negative_transfer,
    mean_accuracies,
    mean_gains,
    methods_on_every_pair,
    methods_over_pairs,
)
from da_bench.reporting.tables.provenance import describe_seed_counts, provenance
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

PAIRS_NOTE = (
    "Cells: percent of the target test split, mean ± half width of the 95 % t interval over seeds (no ±: one seed). "
    "Bold (** in plain text): best mean of its column. Underlined (_): not significantly different from the best by a "
    "paired t test over common seeds (p >= .05, not corrected for multiple comparisons). ↓ negative transfer: below "
    "source only by the same test. † runs that diverged, with chance accuracy. The upper bound is not ranked."
)
AVERAGE_NOTE = (
    "Average: mean over pairs of the means over seeds, best in bold. Underlined: not significantly different from the "
    "best by Wilcoxon's signed-rank test over pairs (Holm over methods), given at least "
    f"{MIN_PAIRS} pairs. Rank: mean over pairs (1 is best) among the methods that were run on every pair."
)
GAIN_NOTE = (
    "Gain: Hodges-Lehmann median over pairs of the mean difference from source only (for a classical method: from its "
    "own classifier without adaptation) on the same seeds, in points [exact 95 % interval, not adjusted]. p: "
    "Wilcoxon's two-sided signed-rank test over pairs, adjusted by Holm over the methods of this table. The verdict "
    f"follows from the adjusted p at {SIGNIFICANCE_LEVEL}; no claim is made below {MIN_PAIRS} pairs."
)
IQM_NOTE = (
    "IQM: interquartile mean of all runs. P(better): probability that a run beats a run of source only on the same "
    f"pair. Both with a 95 % bootstrap interval over the seeds within each pair, given at least {MIN_RUNS} runs. "
    "Higher: pairs with a higher mean than source only. Negative transfer: pairs below source only by a paired t test "
    "over seeds."
)
COST_NOTE = (
    "Seconds: wall time of a run without compiling, mean over pairs; runs computed together share the time. Trials: "
    "largest number of settings of the method that were run on a pair. Memory: peak of the process, or of the "
    "accelerator if there is one, by the end of a run; with --isolate it is the run's own."
)
GAIN_COLUMNS = (
    Column("method", "Method"),
    Column("iqm", "IQM", ("iqm", "low", "high")),
    Column("gain", "Gain over\nsource only", ("median", "low", "high", "p", "p_holm", "mean", "n")),
    Column("verdict", "Verdict"),
    Column("improvement", "P(better)", ("p", "low", "high")),
    Column("better", "Higher", ("pairs", "of")),
    Column("negative", "Negative\ntransfer", ("pairs", "of")),
    Column("seconds", "Seconds\nper run", ("run",)),
    Column("steps", "Steps\nper second", ("steps",)),
    Column("trials", "Trials", ("trials",)),
    Column("memory", "Memory", ("bytes",)),
)


class AdjustedTest(NamedTuple):
    """Signed-rank test of a method's gains over pairs.

    Attributes:
        test: the test.
        p_holm: its p-value, adjusted by Holm.
        tests: number of tests that the adjustment covers.
    """

    test: SignedRank
    p_holm: float
    tests: int


def pair_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """Table of methods by pairs, and table of gains and costs over pairs; none if no method was run on two pairs.

    Args:
        records: records of several tasks.
        rule: selection rule.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    tasks, methods = methods_over_pairs(records)
    if not methods:
        return []
    return [
        _accuracy_table(tasks, methods, rule, provenance(records)),
        _gains_table(tasks, methods, rule, provenance(records)),
    ]


def _accuracy_table(tasks: list[str], methods: list[MethodOverPairs], rule: str, origin: list[str]) -> Table:
    columns = (
        Column("method", "Method"),
        *(Column(task, split_task(task), ("mean", "half_width", "n")) for task in tasks),
        Column("average", "Average", ("mean",)),
        Column("rank", "Rank", ("mean",)),
    )
    names = [Cell(method.name) for method in methods]
    by_task = [_task_column(task, methods, rule) for task in tasks]
    rows = zip(names, *by_task, _average_column(tasks, methods, rule), _rank_column(tasks, methods, rule), strict=True)
    seeds = describe_seed_counts([row for method in methods for row in method.rows.values()])
    title = f"Methods x pairs: target accuracy on {len(tasks)} pairs"
    notes = (f"{seeds}. Rule: {RULES[rule]}.", PAIRS_NOTE, AVERAGE_NOTE, *origin)
    return Table(title, columns, tuple(rows), notes)


def split_task(task: str) -> str:
    """Name of a task over several lines, for a column's heading."""
    return task.replace("/", "/\n").replace("-to-", "\nto ")


def _task_column(task: str, methods: list[MethodOverPairs], rule: str) -> list[Cell]:
    marks = iter(cells.column_marks([method.rows[task] for method in methods if task in method.rows], rule))
    column = []
    for method in methods:
        if task not in method.rows:
            column.append(MISSING)
            continue
        row = method.rows[task]
        cell = accuracy_cell(row.scores(rule), next(marks))
        flags = "↓" * has_negative_transfer(method, task, rule) + "†" * (row.diverged > 0)
        column.append(Cell(f"{cell.text} {flags}", cell.raw, cell.mark) if flags else cell)
    return column


def _average_column(tasks: list[str], methods: list[MethodOverPairs], rule: str) -> list[Cell]:
    accuracy = [mean_accuracies(method, tasks, rule) for method in methods]
    complete = [i for i, method in enumerate(methods) if method.competes and np.isfinite(accuracy[i]).all()]
    best = max(complete, key=lambda i: accuracy[i].mean(), default=None)
    marks: dict[int, Mark] = {}
    if best is not None:
        marks = dict.fromkeys(_not_significant(accuracy, complete, best), "tied")
        marks[best] = "best"
    column = []
    for i, values in enumerate(accuracy):
        mean = float(values.mean())
        column.append(MISSING if np.isnan(mean) else Cell(percent(mean), (mean,), marks.get(i, "")))
    return column


def _not_significant(accuracy: list[np.ndarray], complete: list[int], best: int) -> list[int]:
    """Methods that do not differ significantly from the best."""
    others = [i for i in complete if i != best]
    if len(accuracy[best]) < MIN_PAIRS:
        return []
    adjusted = holm([signed_rank(accuracy[best] - accuracy[i]).p for i in others])
    return [i for i, p in zip(others, adjusted, strict=True) if p >= SIGNIFICANCE_LEVEL]


def _rank_column(tasks: list[str], methods: list[MethodOverPairs], rule: str) -> list[Cell]:
    ranked = methods_on_every_pair(tasks, methods, rule)
    if len(ranked) < 2:
        return [DASH] * len(methods)
    ranks = mean_ranks(np.array([mean_accuracies(method, tasks, rule) for method in ranked]))
    by_id = {id(method): float(rank) for method, rank in zip(ranked, ranks, strict=True)}
    return [
        Cell(f"{by_id[id(method)]:.1f}", (by_id[id(method)],)) if id(method) in by_id else DASH for method in methods
    ]


def _gains_table(tasks: list[str], methods: list[MethodOverPairs], rule: str, origin: list[str]) -> Table:
    is_complete = [bool(np.isfinite(mean_accuracies(method, tasks, rule)).all()) for method in methods]
    complete = list(itertools.compress(methods, is_complete))
    gains = [mean_gains(method, tasks, rule) for method in complete]
    # References and upper bounds have no test, so that Holm does not count them.
    tests = [
        signed_rank(values) if method.competes and values is not None else None
        for method, values in zip(complete, gains, strict=True)
    ]
    adjusted = holm([test.p if test else np.nan for test in tests])
    count = sum(test is not None for test in tests)
    rows = []
    for method, values, test, p in zip(complete, gains, tests, adjusted, strict=True):
        scores = [method.scores(rule)[task] for task in tasks]
        rows.append(
            (
                Cell(method.name),
                _interval_cell(100, 1, iqm(scores), iqm_interval(scores)),
                *_gain_cells(method, values, AdjustedTest(test, float(p), count) if test else None),
                *_comparison_cells(method, values, tasks, rule),
                *_cost_cells(method),
            )
        )
    left_out = join_unique(method.name for method, known in zip(methods, is_complete, strict=True) if not known)
    notes = (
        f"{len(tasks)} pairs. Rule: {RULES[rule]}. {GAIN_NOTE}{_power_note(len(tasks), count)}",
        IQM_NOTE,
        COST_NOTE,
        *([f"Left out because they were not run on every pair: {left_out}."] if left_out else []),
        *origin,
    )
    return Table(f"Gains over {len(tasks)} pairs", GAIN_COLUMNS, tuple(rows), notes)


def _power_note(pairs: int, tests: int) -> str:
    """A sentence if no data on so many pairs could be significant."""
    if pairs < MIN_PAIRS or _smallest_adjusted_p(pairs, tests) < SIGNIFICANCE_LEVEL:
        return ""
    return (
        f" The smallest adjusted p possible with {pairs} pairs and {tests} methods is "
        f"{_smallest_adjusted_p(pairs, tests):.3f}: no claim is possible."
    )


def _smallest_adjusted_p(pairs: int, tests: int) -> float:
    return min(1.0, smallest_p(pairs) * tests)


def _interval_cell(unit: float, digits: int, value: float, interval: tuple[float, float]) -> Cell:
    low, high = (f"{unit * end:.{digits}f}" for end in interval)
    text = f"{unit * value:.{digits}f}"
    return Cell(text if np.isnan(interval[0]) else f"{text} [{low}, {high}]", (value, *interval))


def _gain_cells(method: MethodOverPairs, gains: np.ndarray | None, adjusted: AdjustedTest | None) -> tuple[Cell, Cell]:
    """Gain and verdict."""
    if method.first.is_source_only or not method.competes:
        return DASH, Cell("reference" if method.competes else "upper bound")
    if gains is None or adjusted is None:
        return MISSING, Cell("no source only on every pair")
    test, p_holm, _ = adjusted
    raw = (test.median, test.low, test.high, test.p, p_holm, float(gains.mean()), test.n)
    if test.n < MIN_PAIRS:
        return Cell(f"{100 * test.median:+.1f}\nno test", raw), Cell(f"no claim ({test.n} pairs)")
    text = f"{100 * test.median:+.1f} [{100 * test.low:+.1f}, {100 * test.high:+.1f}]\n{format_p(p_holm)}"
    return Cell(text, raw), Cell(pairs_verdict(adjusted))


def pairs_verdict(adjusted: AdjustedTest) -> str:
    """What an adjusted test over pairs shows, in words."""
    test, p_holm, tests = adjusted
    if _smallest_adjusted_p(test.n, tests) >= SIGNIFICANCE_LEVEL:
        return f"no claim ({test.n} pairs, {tests} methods)"
    if p_holm >= SIGNIFICANCE_LEVEL:
        return "no gain (inside noise)"
    # The median may be 0 if most pairs are equal; the centre of the interval has the sign of the effect.
    return "gain" if test.low + test.high > 0 else "negative transfer"


def _comparison_cells(
    method: MethodOverPairs, gains: np.ndarray | None, tasks: list[str], rule: str
) -> tuple[Cell, Cell, Cell]:
    """P(better), number of pairs above source only, and number of pairs with negative transfer."""
    if gains is None:
        return DASH, DASH, DASH
    scores = [method.scores(rule)[task] for task in tasks]
    bases = [method.bases[task] for task in tasks]
    baseline = [list(base.scores(rule).values()) for base in bases if base is not None]
    interval = probability_of_improvement_interval(scores, baseline)
    above, pairs = int(np.sum(gains > 0)), len(tasks)
    below = sum(has_negative_transfer(method, task, rule) for task in tasks)
    return (
        _interval_cell(1, 2, probability_of_improvement(scores, baseline), interval),
        Cell(f"{above} of {pairs}", (above, pairs)),
        Cell(f"{below} of {pairs}", (below, pairs)),
    )


def _cost_cells(method: MethodOverPairs) -> tuple[Cell, Cell, Cell, Cell]:
    """Seconds per run, steps per second, trials and memory."""
    rows = list(method.rows.values())
    trials = max(method.trials.values())
    return (
        cells.number_cell(cells.mean_of_known([cells.seconds_per_run(row) for row in rows])),
        cells.number_cell(cells.mean_of_known([cells.steps_per_second(row) for row in rows])),
        Cell(str(trials), (trials,)),
        cells.peak_memory_cell(rows),
    )
