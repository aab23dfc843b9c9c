"""Cells of tables: the text of one column of a row, with the raw numbers behind it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from da_bench.evaluation.validators import ORACLE
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.stats.paired import PairedTest, gain_verdict, gap_closed, paired_t_test
from da_bench.reporting.tables.rows import Row, align_seeds, reference_row, upper_bound_row
from da_bench.reporting.tables.table import Cell, Mark

MISSING = Cell("n/a")
DASH = Cell("–")


def percent(share: float) -> str:
    """Format a share as percent: 0.712 -> "71.2"."""
    return f"{100 * share:.1f}"


def number_cell(value: float | None) -> Cell:
    """Three significant digits; from 100 on, whole numbers."""
    if value is None:
        return MISSING
    return Cell(f"{value:.3g}" if value < 100 else f"{value:.0f}", (value,))


def seeds_cell(row: Row) -> Cell:
    """Number of runs: "5", "5 (2†)" if two of them diverged, "0 (5 skipped)", "3 (2 failed)"."""
    notes = [f"{row.diverged}†"] if row.diverged else []
    notes += [f"{len(row.skipped)} skipped"] if row.skipped else []
    notes += [f"{len(row.failed)} failed"] if row.failed else []
    text = f"{len(row.runs)} ({', '.join(notes)})" if notes else str(len(row.runs))
    return Cell(text, (len(row.runs), row.diverged, len(row.skipped), len(row.failed)))


def accuracy_cell(scores: dict[int, float], mark: Mark = "") -> Cell:
    """Mean accuracy over seeds with its t interval, in percent.

    Args:
        scores: seed -> accuracy in [0, 1].
        mark: mark of the cell.

    Returns:
        A cell such as "71.2 ± 1.3"; raw: mean, half width of the 95 % t interval, n.
    """
    if not scores:
        return MISSING
    interval = t_interval(list(scores.values()))
    spread = "" if interval.n == 1 else f" ± {percent(interval.half_width)}"
    return Cell(f"{percent(interval.mean)}{spread}", tuple(interval), mark)


def column_marks(rows: Sequence[Row], rule: str) -> list[Mark]:
    """Mark of each row under one rule: the best mean, and those that do not differ significantly from it."""
    if rule == ORACLE:
        return ["oracle"] * len(rows)
    scores = [{} if row.uses_target_labels else row.scores(rule) for row in rows]
    means = [float(np.mean(list(by_seed.values()))) if by_seed else -np.inf for by_seed in scores]
    best = int(np.argmax(means))
    marks: list[Mark] = []
    for by_seed, mean in zip(scores, means, strict=True):
        if not by_seed:
            marks.append("")
        elif mean == means[best]:
            marks.append("best")
        else:
            marks.append("tied" if _not_significant(by_seed, scores[best]) else "")
    return marks


def _not_significant(scores: dict[int, float], best: dict[int, float]) -> bool:
    values, best_values = align_seeds(scores, best)
    # With one common seed, or the same gap in every seed, p is NaN: untested is not the same as not significant.
    return bool(values) and paired_t_test(values, best_values).p >= 0.05


def selection_gaps(row: Row, rule: str) -> dict[int, float]:
    """Seed -> target accuracy of the oracle minus that of `rule`."""
    oracle, selected = row.scores(ORACLE), row.scores(rule)
    return {seed: oracle[seed] - selected[seed] for seed in oracle if seed in selected}


def gain_over_source_only(row: Row, rows: Sequence[Row], rule: str) -> PairedTest | None:
    """Paired test of target accuracy against the comparable source-only row on common seeds; None without one."""
    base = reference_row(row, rows)
    values, base_values = align_seeds(row.scores(rule), base.scores(rule)) if base else ([], [])
    return paired_t_test(values, base_values) if values else None


def gain_cell(row: Row, gain: PairedTest | None) -> Cell:
    """Gain in points: "+12.3 [+10.1, +14.5] p<.001"; raw: mean and half width in [-1, 1], p, n."""
    if row.is_source_only:
        return DASH
    if gain is None:
        return MISSING
    if np.isnan(gain.half_width):
        return Cell(f"{100 * gain.mean:+.1f}\nno test", tuple(gain))
    low, high = 100 * (gain.mean - gain.half_width), 100 * (gain.mean + gain.half_width)
    return Cell(f"{100 * gain.mean:+.1f} [{low:+.1f}, {high:+.1f}]\n{format_p(gain.p)}", tuple(gain))


def format_p(p: float) -> str:
    """Format a p-value: "p=.023", "p<.001"."""
    return "p<.001" if p < 0.001 else f"p={p:.3f}".replace("0.", ".", 1)


def verdict_cell(row: Row, gain: PairedTest | None) -> Cell:
    """What a gain shows, in words."""
    if row.is_source_only:
        return Cell("reference")
    if row.uses_target_labels:
        return Cell("upper bound" if row.is_upper_bound else "knows target labels")
    if gain is None:
        return MISSING
    verdict = gain_verdict(gain)
    if verdict == "untested":
        return Cell("untested (one seed)" if gain.n == 1 else "untested (same difference in every seed)")
    return Cell("no gain (inside noise)" if verdict == "inside noise" else verdict)


def gap_closed_cell(row: Row, rows: Sequence[Row], rule: str) -> Cell:
    """Share of the gap from source only to the upper bound that is closed, from means over common seeds."""
    if row.is_source_only or row.uses_target_labels:
        return DASH
    base, bound = reference_row(row, rows), upper_bound_row(row, rows)
    scores = align_seeds(row.scores(rule), base.scores(rule), bound.scores(rule)) if base and bound else [[]]
    if not scores[0]:
        return MISSING
    share = gap_closed(*(float(np.mean(values)) for values in scores))
    return Cell("no gap" if np.isnan(share) else f"{100 * share:.0f} %", (share,))


def distance_cell(row: Row, rows: Sequence[Row]) -> Cell:
    """Proxy A-distance of source-only features and of the row's, means over common seeds: "1.80 → 0.90"."""
    distances, base = row.a_distances(), reference_row(row, rows)
    before, after = align_seeds(base.a_distances(), distances) if base and base is not row else ([], [])
    if before:
        means = float(np.mean(before)), float(np.mean(after))
        return Cell(f"{means[0]:.2f} → {means[1]:.2f}", means)
    if not distances:
        return MISSING
    mean = float(np.mean(list(distances.values())))
    return Cell(f"{mean:.2f}", (None, mean))


def seconds_cell(row: Row) -> Cell:
    """Seconds of one run; raw: seconds of running and of compiling, which happens once for all runs of a group."""
    cell = number_cell(seconds_per_run(row))
    return Cell(cell.text, (*cell.raw, seconds_to_compile(row))) if cell.raw else MISSING


def seconds_per_run(row: Row) -> float | None:
    """Mean seconds of one run; runs computed together share the time. None if no time is recorded."""
    seconds = [run.result.get("seconds") or {} for run in row.runs]
    return mean_of_known(
        [each["run"] / max(each.get("together") or 1, 1) for each in seconds if each.get("run") is not None]
    )


def seconds_to_compile(row: Row) -> float | None:
    """Mean seconds of compiling the program of a run; None if no time is recorded."""
    return mean_of_known([(run.result.get("seconds") or {}).get("compile") for run in row.runs])


def steps_per_second(row: Row) -> float | None:
    """Training steps of one run per second; None for a classical method, or if no time is recorded."""
    seconds, training = seconds_per_run(row), row.first.config["training"]
    return training["steps"] / seconds if training and seconds else None


def peak_memory_cell(rows: Sequence[Row], where: Literal["host", "device", "any"] = "any") -> Cell:
    """Peak memory of any run: "1.2 GiB"; raw: bytes.

    Args:
        rows: rows whose runs are compared.
        where: memory of the process, of the accelerator, or ("any") of the accelerator if known, else the process.
    """
    peaks = [run.result.get("peak_bytes") or {} for row in rows for run in row.runs]
    if where == "any":
        values = [peak.get("device") or peak.get("host") for peak in peaks]
    else:
        values = [peak.get(where) for peak in peaks]
    known = [value for value in values if value]
    return Cell(f"{max(known) / 2**30:.1f} GiB", (max(known),)) if known else MISSING


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
