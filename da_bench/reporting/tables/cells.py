"""Rows -> cells: what one field of a table shows of one row, with the raw numbers behind it."""

from collections.abc import Sequence

import numpy as np

from da_bench.evaluation.validators import ORACLE
from da_bench.reporting.stats.intervals import t_interval
from da_bench.reporting.stats.paired import PairedTest, gain_verdict, gap_closed, paired_t_test
from da_bench.reporting.tables.rows import Row, align_seeds, reference_row, upper_bound_row
from da_bench.reporting.tables.table import Cell

MISSING = Cell("n/a")
DASH = Cell("–")


def seeds_cell(row: Row) -> Cell:
    """How many runs: "5", "5 (2†)" with two diverged ones among them, "0 (5 skipped)", "3 (2 failed)"."""
    marks = [f"{row.diverged}†"] * (row.diverged > 0)
    marks += [f"{len(row.skipped)} skipped"] * bool(row.skipped) + [f"{len(row.failed)} failed"] * bool(row.failed)
    shown = f"{len(row.runs)} ({', '.join(marks)})" if marks else str(len(row.runs))
    return Cell(shown, (len(row.runs), row.diverged, len(row.skipped), len(row.failed)))


def accuracy_cell(scores: dict[int, float], mark: str = "") -> Cell:
    """Seed -> accuracy in [0, 1] as "71.2 ± 1.3" percent; raw: mean, half width of the 95 % t interval, n."""
    if not scores:
        return MISSING
    interval = t_interval(list(scores.values()))
    spread = "" if interval.n == 1 else f" ± {percent(interval.half_width)}"
    return Cell(f"{percent(interval.mean)}{spread}", tuple(interval), mark)


def percent(share: float) -> str:
    """0.712 -> "71.2"."""
    return f"{100 * share:.1f}"


def selection_gap_cell(row: Row, rule: str) -> Cell:
    """Target accuracy of the oracle minus that of `rule` in points, "1.8 ± 0.6"; raw: as `accuracy_cell`."""
    return accuracy_cell(selection_gaps(row, rule))


def selection_gaps(row: Row, rule: str) -> dict[int, float]:
    """Seed -> target accuracy of the oracle minus that of `rule`."""
    best, chosen = row.scores(ORACLE), row.scores(rule)
    return {seed: best[seed] - chosen[seed] for seed in best if seed in chosen}


def gain_over_source_only(row: Row, rows: Sequence[Row], rule: str) -> PairedTest | None:
    """Target accuracy minus that of the source-only row with the same model and training, on common seeds."""
    base = reference_row(row, rows)
    ours, theirs = align_seeds(row.scores(rule), base.scores(rule)) if base else ([], [])
    return paired_t_test(ours, theirs) if ours else None


def gain_cell(row: Row, gain: PairedTest | None) -> Cell:
    """The gain in points: "+12.3 [+10.1, +14.5] p<.001"; raw: mean and half width in [-1, 1], p, n."""
    if row.is_source_only:
        return DASH
    if gain is None:
        return MISSING
    if np.isnan(gain.half_width):
        return Cell(f"{100 * gain.mean:+.1f}\nno test", tuple(gain))
    low, high = 100 * (gain.mean - gain.half_width), 100 * (gain.mean + gain.half_width)
    p = "p<.001" if gain.p < 0.001 else f"p={gain.p:.3f}".replace("0.", ".", 1)
    return Cell(f"{100 * gain.mean:+.1f} [{low:+.1f}, {high:+.1f}]\n{p}", tuple(gain))


def verdict_cell(row: Row, gain: PairedTest | None) -> Cell:
    """The verdict in words."""
    if row.is_source_only or row.is_bound:
        return Cell(
            "reference" if row.is_source_only else "upper bound" if row.is_upper_bound else "knows target labels"
        )
    if gain is None:
        return MISSING
    said = gain_verdict(gain)
    if said == "untested":
        return Cell("untested (one seed)" if gain.n == 1 else "untested (same difference in every seed)")
    return Cell("no gain (inside noise)" if said == "inside noise" else said)


def gap_closed_cell(row: Row, rows: Sequence[Row], rule: str) -> Cell:
    """Share of the gap from source only to the upper bound that is closed, from means over the seeds of all three."""
    if row.is_source_only or row.is_bound:
        return DASH
    base, bound = reference_row(row, rows), upper_bound_row(row, rows)
    scores = align_seeds(row.scores(rule), base.scores(rule), bound.scores(rule)) if base and bound else [[]]
    if not scores[0]:
        return MISSING
    share = gap_closed(*(float(np.mean(one)) for one in scores))
    return Cell("no gap" if np.isnan(share) else f"{100 * share:.0f} %", (share,))


def distance_cell(row: Row, rows: Sequence[Row]) -> Cell:
    """Proxy A-distance of source-only features and of this row's, means over common seeds; alone where no pair is."""
    distances, base = row.distances(), reference_row(row, rows)
    old, new = align_seeds(base.distances(), distances) if base and base is not row else ([], [])
    if old:
        before, after = float(np.mean(old)), float(np.mean(new))
        return Cell(f"{before:.2f} → {after:.2f}", (before, after))
    if not distances:
        return MISSING
    alone = float(np.mean(list(distances.values())))
    return Cell(f"{alone:.2f}", (None, alone))


def seconds_cell(row: Row) -> Cell:
    """Seconds of running one run; raw: those, and the seconds of compiling, which are paid once for all together."""
    spent = [run.result.get("seconds") or {} for run in row.runs]
    compiles = [one["compile"] for one in spent if one.get("compile") is not None]
    shown = number_cell(seconds_per_run(row))
    return Cell(shown.text, (*shown.raw, float(np.mean(compiles)) if compiles else None)) if shown.raw else MISSING


def seconds_per_run(row: Row) -> float | None:
    """Of running one run, mean over its runs, those that ran together sharing the time; None where none is known."""
    spent = [run.result.get("seconds") or {} for run in row.runs]
    return mean_of_known([one["run"] / max(one.get("together") or 1, 1) for one in spent if one.get("run") is not None])


def steps_per_second(row: Row) -> float | None:
    """Training steps of one run in a second; None of a classical method, or where no time is known."""
    seconds, training = seconds_per_run(row), row.first.config["training"]
    return training["steps"] / seconds if training and seconds else None


def memory_cell(rows: Sequence[Row]) -> Cell:
    """The most memory of any run, of the accelerator where that is known: "1.2 GiB"; raw: bytes."""
    return _most([one.get("device") or one.get("host") for one in _peaks(rows)])


def peak_memory_cell(rows: Sequence[Row], place: str) -> Cell:
    """As `memory_cell`, of one place, "host" or "device"."""
    return _most([one.get(place) for one in _peaks(rows)])


def _peaks(rows: Sequence[Row]) -> list[dict[str, int | None]]:
    return [run.result.get("peak_bytes") or {} for row in rows for run in row.runs]


def _most(peaks: Sequence[int | None]) -> Cell:
    known = [held for held in peaks if held]
    return Cell(f"{max(known) / 2**30:.1f} GiB", (max(known),)) if known else MISSING


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Of those that there are; None of none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def number_cell(value: float | None) -> Cell:
    """Three digits, or all of a large number's before the point."""
    if value is None:
        return MISSING
    return Cell(f"{value:.3g}" if value < 100 else f"{value:.0f}", (value,))


def column_marks(rows: Sequence[Row], rule: str) -> list[str]:
    """A mark for each row under one rule: who is best, and who cannot be told from the best."""
    if rule == ORACLE:
        return ["oracle"] * len(rows)
    scores = [{} if row.is_bound else row.scores(rule) for row in rows]
    means = [float(np.mean(list(one.values()))) if one else -np.inf for one in scores]
    best = int(np.argmax(means))
    return [_mark(one, scores[best], mean == means[best]) for one, mean in zip(scores, means, strict=True)]


def _mark(scores: dict[int, float], best: dict[int, float], is_best: bool) -> str:
    if not scores:
        return ""
    if is_best:
        return "best"
    here, there = align_seeds(scores, best)
    found = paired_t_test(here, there) if here else None
    # one common seed, or the same gap in every seed, has no p: untested is not the same as not distinguishable
    return "near" if found is not None and found.p >= 0.05 else ""
