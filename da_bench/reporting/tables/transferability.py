"""Tables of transferability measures next to the gains that methods reach, and the correlation between them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from da_bench.evaluation.transferability import MEASURES
from da_bench.evaluation.validators import RULES
from da_bench.reporting.stats.correlation import spearman
from da_bench.reporting.tables.cells import DASH, MISSING, gain_over_source_only
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import Row, build_rows, group_for_tables
from da_bench.reporting.tables.rules import check_rule
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.records import Record

MIN_PAIRS = 3  # with fewer pairs a rank correlation is -1, 0 or 1
TITLES = {"proxy_a_distance": "A-distance", **{name: measure.title for name, measure in MEASURES.items()}}


class Pair(NamedTuple):
    """Measures and gains of one task.

    Attributes:
        task: name of the task.
        measures: name of the measure -> mean over source-only runs; NaN if there is none.
        gains: method -> gain over source only in [-1, 1].
    """

    task: str
    measures: dict[str, float]
    gains: dict[str, float]

    @property
    def mean_gain(self) -> float:
        """Mean gain of the methods; NaN without a gain."""
        return _mean_of_finite(list(self.gains.values()))

    @property
    def best_gain(self) -> float:
        """Largest gain of a method; NaN without a gain."""
        return max(self.gains.values(), default=float("nan"))


def transferability_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """Table of every pair's measures and gains, and table of their rank correlations over pairs.

    The measures are those of source-only features after the last step, mean over seeds. A gain is over source only
    with the same model and training, both under `rule`, mean over seeds.

    Args:
        records: records of one or several tasks.
        rule: selection rule.

    Raises:
        UserError: no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    pairs = [_measure_pair(task, build_rows(group), rule) for task, group in group_for_tables(records).items()]
    shown = [name for name in TITLES if any(np.isfinite(pair.measures[name]) for pair in pairs)]
    note = (
        "Measures: of source-only features after the last step on both test sets, mean over seeds. LEEP, NCE, LogME, "
        "H-score and TransRate use target labels, which are not available beforehand. Gains: points of target accuracy "
        f"over source only, mean over seeds; rule: {RULES[rule]}."
    )
    return [_pair_table(pairs, shown, (note, *provenance(records))), _correlation_table(pairs, shown, note)]


def _measure_pair(task: str, rows: Sequence[Row], rule: str) -> Pair:
    runs = [run for row in rows if row.is_source_only for run in row.runs]
    measures = {name: _mean_of_finite([_measure(run, name) for run in runs]) for name in TITLES}
    gains = {}
    for row in rows:
        gain = gain_over_source_only(row, rows, rule)
        if gain is not None and not (row.is_source_only or row.uses_target_labels):
            gains[row.name] = gain.mean
    return Pair(task, measures, gains)


def _measure(run: Record, name: str) -> float:
    measures = {**(run.result.get("transferability") or {}), "proxy_a_distance": run.result.get("proxy_a_distance")}
    value = measures.get(name)
    return float("nan") if value is None else float(value)


def _mean_of_finite(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _pair_table(pairs: Sequence[Pair], shown: Sequence[str], notes: tuple[str, ...]) -> Table:
    columns = (
        Column("pair", "Pair"),
        *(Column(name, TITLES[name], ("mean",)) for name in shown),
        Column("mean_gain", "Mean gain\nof methods", ("mean",)),
        Column("best_gain", "Best\ngain", ("best",)),
        Column("best", "Best method"),
    )
    rows = []
    for pair in pairs:
        measures = [pair.measures[name] for name in shown]
        cells = [Cell(f"{value:.3g}", (value,)) if np.isfinite(value) else MISSING for value in measures]
        if pair.gains:
            best = max(pair.gains, key=lambda name: pair.gains[name])
            gains = float(np.mean(list(pair.gains.values()))), pair.gains[best]
            cells += [*(Cell(f"{100 * gain:+.1f}", (gain,)) for gain in gains), Cell(best)]
        else:
            cells += [MISSING, MISSING, DASH]
        rows.append((Cell(pair.task), *cells))
    return Table("Transferability by pair", columns, tuple(rows), notes)


def _correlation_table(pairs: Sequence[Pair], shown: Sequence[str], note: str) -> Table:
    columns = (
        Column("measure", "Measure"),
        Column("mean_gain", "Spearman rho with\nmean gain", ("rho", "n")),
        Column("best_gain", "Spearman rho with\nbest gain", ("rho", "n")),
    )
    rows = []
    for name in shown:
        measures = [pair.measures[name] for pair in pairs]
        mean_gains, best_gains = [pair.mean_gain for pair in pairs], [pair.best_gain for pair in pairs]
        rows.append((Cell(TITLES[name]), *(_rho_cell(measures, gains) for gains in (mean_gains, best_gains))))
    caution = f"Over {len(pairs)} pairs. No correlation is shown below {MIN_PAIRS}, and no significance is claimed."
    return Table("Transferability and gain over pairs", columns, tuple(rows), (caution, note))


def _rho_cell(measures: Sequence[float], gains: Sequence[float]) -> Cell:
    known = np.array([pair for pair in zip(measures, gains, strict=True) if np.isfinite(pair).all()])
    rho = spearman(*known.T) if len(known) >= MIN_PAIRS else float("nan")
    return Cell(f"{rho:+.2f}", (rho, len(known))) if np.isfinite(rho) else DASH
