"""Records -> tables over pairs: methods x pairs, and what they allow to say of every method over all of them."""

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
from da_bench.reporting.tables.cells import DASH, MISSING, accuracy_cell, percent
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
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record

PAIRS_NOTE = (
    "Cells: percent of the target test split, mean ± half width of the 95 % t interval over seeds (no ±: one seed). "
    "Bold (** in plain text): best mean of its column; underlined (_): not distinguishable from the best by a paired t "
    "test over the common seeds (p >= .05, not corrected for many comparisons). ↓ negative transfer: below source only "
    "by the same test. † diverged runs, with chance accuracy. The upper bound does not compete."
)

AVERAGE_NOTE = (
    "Average: mean over pairs of the means over seeds, best in bold; underlined: not distinguishable from the best by "
    f"Wilcoxon's signed-rank test over pairs (Holm over methods), from {MIN_PAIRS} pairs on. Rank: mean over pairs, "
    "1 is best, of the methods that are on every pair."
)

GAIN_NOTE = (
    "Gain: Hodges-Lehmann median over pairs of the mean difference from source only (of a classical method, from its "
    "own classifier) on the same seeds, in points, "
    "[its exact 95 % interval, for itself alone], p of Wilcoxon's two-sided signed-rank test over pairs, adjusted by "
    f"Holm over the methods of this table. The verdict is the adjusted p at {SIGNIFICANCE_LEVEL}; no claim is "
    f"made below {MIN_PAIRS} pairs."
)

IQM_NOTE = (
    "IQM: interquartile mean of all runs, P(better): chance that a run beats one of source only on the same pair, both "
    f"with their 95 % interval by the bootstrap of seeds within each pair, from {MIN_RUNS} runs on. Higher: pairs "
    "with a higher mean than source only. Negative transfer: pairs below source only by a paired t test over seeds."
)

COST_NOTE = (
    "Seconds: wall time of a run divided by the runs that ran together, without compiling, mean over pairs. Trials: "
    "settings of the method that were run on a pair, at most. Memory: the most that the process had held by the end of "
    "a run, on an accelerator that device's; with --isolate it is the run's own."
)


class AdjustedTest(NamedTuple):
    """A method's test over pairs, its p as Holm adjusts it, and among how many tests."""

    test: SignedRank
    p_holm: float
    tests: int


def pair_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """(methods x pairs, gains and costs over pairs); none where no method is on two pairs.

    Raises:
        UserError: as `lines_of`, or an unknown rule.
    """
    check_rule(rule)
    tasks, lines = methods_over_pairs(records)
    if not lines:
        return []
    return [_pairs_table(tasks, lines, rule, provenance(records)), _gains_table(tasks, lines, rule, records)]


def _pairs_table(tasks: list[str], lines: list[MethodOverPairs], rule: str, sources: list[str]) -> Table:
    columns = (
        Column("method", "Method"),
        *(Column(task, _split(task), ("mean", "half_width", "n")) for task in tasks),
        Column("average", "Average", ("mean",)),
        Column("rank", "Rank", ("mean",)),
    )
    by_pair = [_pair_cells(task, lines, rule) for task in tasks]
    ends = zip(_averages(tasks, lines, rule), _ranks(tasks, lines, rule), strict=True)
    rows = [
        (Cell(line.name), *own, *end) for line, own, end in zip(lines, zip(*by_pair, strict=True), ends, strict=True)
    ]
    head = f"{describe_seed_counts([row for line in lines for row in line.rows.values()])}. Rule: {RULES[rule]}."
    title = f"Methods x pairs: target accuracy on {len(tasks)} pairs"
    return Table(title, columns, tuple(rows), (head, PAIRS_NOTE, AVERAGE_NOTE, *sources))


def _split(task: str) -> str:
    return task.replace("/", "/\n").replace("-to-", "\nto ")


def _pair_cells(task: str, lines: list[MethodOverPairs], rule: str) -> list[Cell]:
    """One column: a cell a method."""
    rows = [line.rows[task] for line in lines if task in line.rows]
    marks = iter(cells.column_marks(rows, rule))
    return [_pair_cell(line, task, rule, next(marks)) if task in line.rows else MISSING for line in lines]


def _pair_cell(line: MethodOverPairs, task: str, rule: str, mark: str) -> Cell:
    cell = accuracy_cell(line.rows[task].scores(rule), mark)
    flags = "↓" * has_negative_transfer(line, task, rule) + "†" * (line.rows[task].diverged > 0)
    return Cell(f"{cell.text} {flags}", cell.raw, cell.mark) if flags else cell


def _averages(tasks: list[str], lines: list[MethodOverPairs], rule: str) -> list[Cell]:
    every = [mean_accuracies(line, tasks, rule) for line in lines]
    whole = [i for i, line in enumerate(lines) if line.competes and np.isfinite(every[i]).all()]
    best = max(whole, key=lambda i: every[i].mean(), default=None)
    marks = {} if best is None else {**dict.fromkeys(_near_best(every, whole, best), "near"), best: "best"}
    return [_average_cell(float(one.mean()), marks.get(i, "")) for i, one in enumerate(every)]


def _average_cell(mean: float, mark: str) -> Cell:
    return MISSING if np.isnan(mean) else Cell(percent(mean), (mean,), mark)


def _near_best(accuracy: list[np.ndarray], whole: list[int], best: int) -> list[int]:
    """Those of `whole` that cannot be told from the best."""
    others = [i for i in whole if i != best]
    if len(accuracy[best]) < MIN_PAIRS:
        return []
    p = holm([signed_rank(accuracy[best] - accuracy[i]).p for i in others])
    return [i for i, one in zip(others, p, strict=True) if one >= SIGNIFICANCE_LEVEL]


def _ranks(tasks: list[str], lines: list[MethodOverPairs], rule: str) -> list[Cell]:
    ranked = methods_on_every_pair(tasks, lines, rule)
    if len(ranked) < 2:
        return [DASH] * len(lines)
    ranks = iter(mean_ranks(np.array([mean_accuracies(line, tasks, rule) for line in ranked])))
    return [_rank_cell(float(next(ranks))) if any(line is one for one in ranked) else DASH for line in lines]


def _rank_cell(rank: float) -> Cell:
    return Cell(f"{rank:.1f}", (rank,))


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


def _gains_table(tasks: list[str], lines: list[MethodOverPairs], rule: str, records: Sequence[Record]) -> Table:
    whole = [line for line in lines if np.isfinite(mean_accuracies(line, tasks, rule)).all()]
    tests = [_test(line, tasks, rule) for line in whole]
    adjusted = holm([one.p if one else np.nan for one in tests])
    count = sum(map(bool, tests))
    judged = [test and AdjustedTest(test, float(p), count) for test, p in zip(tests, adjusted, strict=True)]
    rows = [_gain_row(line, tasks, rule, one) for line, one in zip(whole, judged, strict=True)]
    left = join_unique(line.name for line in lines if not any(line is one for one in whole))
    notes = (
        f"{len(tasks)} pairs. Rule: {RULES[rule]}. {GAIN_NOTE}{_least(len(tasks), count)}",
        IQM_NOTE,
        COST_NOTE,
        *([f"Left out, for not being on every pair: {left}."] if left else []),
        *provenance(records),
    )
    return Table(f"Gains over {len(tasks)} pairs", GAIN_COLUMNS, tuple(rows), notes)


def _least(pairs: int, tests: int) -> str:
    """A sentence where no data of so many pairs could give a claim."""
    if pairs < MIN_PAIRS or _least_adjusted(pairs, tests) < SIGNIFICANCE_LEVEL:
        return ""
    return (
        f" The least adjusted p that {pairs} pairs and {tests} methods can give is "
        f"{_least_adjusted(pairs, tests):.3f}: no claim is possible."
    )


def _least_adjusted(pairs: int, tests: int) -> float:
    return min(1.0, smallest_p(pairs) * tests)


def _test(line: MethodOverPairs, tasks: list[str], rule: str) -> SignedRank | None:
    """Of its gains; None for references and the upper bound, which take no place among the tests."""
    found = mean_gains(line, tasks, rule) if line.competes else None
    return None if found is None else signed_rank(found)


def _gain_row(line: MethodOverPairs, tasks: list[str], rule: str, judged: AdjustedTest | None) -> tuple[Cell, ...]:
    scores = [line.scores(rule)[task] for task in tasks]
    return (
        Cell(line.name),
        _interval_cell(100, 1, iqm(scores), iqm_interval(scores)),
        *_gain_cells(line, mean_gains(line, tasks, rule), judged),
        _improvement_cell(line, tasks, rule),
        *_counts(line, tasks, rule),
        *_cost_cells(line),
    )


def _interval_cell(unit: float, digits: int, value: float, interval: tuple[float, float]) -> Cell:
    low, high = (f"{unit * end:.{digits}f}" for end in interval)
    shown = f"{unit * value:.{digits}f}"
    return Cell(shown if np.isnan(interval[0]) else f"{shown} [{low}, {high}]", (value, *interval))


def _gain_cells(line: MethodOverPairs, found: np.ndarray | None, judged: AdjustedTest | None) -> tuple[Cell, Cell]:
    if line.first.is_source_only or not line.competes:
        return DASH, Cell("reference" if line.competes else "upper bound")
    if found is None or judged is None:
        return MISSING, Cell("no source only on every pair")
    test, p_holm, _ = judged
    raw = (test.median, test.low, test.high, test.p, p_holm, float(found.mean()), test.n)
    if test.n < MIN_PAIRS:
        return Cell(f"{100 * test.median:+.1f}\nno test", raw), Cell(f"no claim ({test.n} pairs)")
    p = "p<.001" if p_holm < 0.001 else f"p={p_holm:.3f}".replace("0.", ".", 1)
    shown = f"{100 * test.median:+.1f} [{100 * test.low:+.1f}, {100 * test.high:+.1f}]\n{p}"
    return Cell(shown, raw), Cell(pairs_verdict(judged))


def pairs_verdict(judged: AdjustedTest) -> str:
    """What an adjusted test over pairs allows to say."""
    test, p_holm, tests = judged
    if _least_adjusted(test.n, tests) >= SIGNIFICANCE_LEVEL:
        return f"no claim ({test.n} pairs, {tests} methods)"
    if p_holm >= SIGNIFICANCE_LEVEL:
        return "no gain (inside noise)"
    # not the median's sign, which is 0 where most pairs are equal
    return "gain" if test.low + test.high > 0 else "negative transfer"


def _improvement_cell(line: MethodOverPairs, tasks: list[str], rule: str) -> Cell:
    if mean_gains(line, tasks, rule) is None:
        return DASH
    ours = [line.scores(rule)[task] for task in tasks]
    bases = [line.bases[task] for task in tasks]
    theirs = [list(base.scores(rule).values()) for base in bases if base is not None]
    interval = probability_of_improvement_interval(ours, theirs)
    return _interval_cell(1, 2, probability_of_improvement(ours, theirs), interval)


def _counts(line: MethodOverPairs, tasks: list[str], rule: str) -> tuple[Cell, Cell]:
    """On how many pairs it is above source only, and on how many below it for sure."""
    found = mean_gains(line, tasks, rule)
    if found is None:
        return DASH, DASH
    counts = int(np.sum(found > 0)), sum(has_negative_transfer(line, task, rule) for task in tasks)
    above, below = (Cell(f"{count} of {len(tasks)}", (count, len(tasks))) for count in counts)
    return above, below


def _cost_cells(line: MethodOverPairs) -> tuple[Cell, Cell, Cell, Cell]:
    rows = list(line.rows.values())
    rates = [cells.steps_per_second(row) for row in rows]
    trials = max(line.trials.values())
    return (
        cells.number_cell(cells.mean_of_known([cells.seconds_per_run(row) for row in rows])),
        cells.number_cell(cells.mean_of_known(rates)),
        Cell(str(trials), (trials,)),
        cells.memory_cell(rows),
    )
