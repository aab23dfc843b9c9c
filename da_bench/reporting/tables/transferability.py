"""Measures of transferability beside the gains that were really made, pair by pair, and how well they go together."""

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

ENOUGH = 3  # pairs below which a rank correlation is but -1, 0 or 1

TITLES = {"proxy_a_distance": "A-distance", **{name: one.title for name, one in MEASURES.items()}}


class Pair(NamedTuple):
    """One task: measures by name, NaN where there is none, of its source-only runs; and gains in [-1, 1] by method."""

    task: str
    measures: dict[str, float]
    gains: dict[str, float]


def transferability_tables(records: Sequence[Record], rule: str = "last") -> list[Table]:
    """(every pair's measures and gains; their rank correlations over the pairs).

    The measures are those of source-only features after the last step, mean over seeds; a gain is over source only with
    the same model and training, both by `rule`, mean over seeds.

    Raises:
        UserError: for no records, an unknown rule, or two results of one setting and seed.
    """
    check_rule(rule)
    pairs = [_pair(task, build_rows(group), rule) for task, group in group_for_tables(records).items()]
    shown = [name for name in TITLES if any(np.isfinite(pair.measures[name]) for pair in pairs)]
    columns = (
        Column("pair", "Pair"),
        *(Column(name, TITLES[name], ("mean",)) for name in shown),
        Column("mean_gain", "Mean gain\nof methods", ("mean",)),
        Column("best_gain", "Best\ngain", ("best",)),
        Column("best", "Best method"),
    )
    rows = tuple(_pair_row(pair, shown) for pair in pairs)
    found = Table("Transferability by pair", columns, rows, (_note(rule), *provenance(records)))
    return [found, _correlation_table(pairs, shown, rule)]


def _pair(task: str, rows: Sequence[Row], rule: str) -> Pair:
    bases = [run for row in rows if row.is_source_only for run in row.runs]
    measures = {name: _mean([_measure(run, name) for run in bases]) for name in TITLES}
    gains = {
        row.name: gain.mean
        for row in rows
        if not (row.is_source_only or row.is_bound) and (gain := gain_over_source_only(row, rows, rule)) is not None
    }
    return Pair(task, measures, gains)


def _measure(run: Record, name: str) -> float:
    value = {**(run.result.get("transferability") or {}), "proxy_a_distance": run.result.get("proxy_a_distance")}
    found = value.get(name)
    return float("nan") if found is None else float(found)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _pair_row(pair: Pair, shown: Sequence[str]) -> tuple[Cell, ...]:
    numbers = [_number(pair.measures[name]) for name in shown]
    if not pair.gains:
        return (Cell(pair.task), *numbers, MISSING, MISSING, DASH)
    best = max(pair.gains, key=lambda name: pair.gains[name])
    gains = float(np.mean(list(pair.gains.values()))), pair.gains[best]
    return (Cell(pair.task), *numbers, *(Cell(f"{100 * gain:+.1f}", (gain,)) for gain in gains), Cell(best))


def _number(value: float) -> Cell:
    return Cell(f"{value:.3g}", (value,)) if np.isfinite(value) else MISSING


def _correlation_table(pairs: Sequence[Pair], shown: Sequence[str], rule: str) -> Table:
    columns = (
        Column("measure", "Measure"),
        Column("mean_gain", "Spearman rho with\nmean gain", ("rho", "n")),
        Column("best_gain", "Spearman rho with\nbest gain", ("rho", "n")),
    )
    means = [_mean(list(pair.gains.values())) for pair in pairs]
    bests = [max(pair.gains.values(), default=float("nan")) for pair in pairs]
    rows = [
        (Cell(TITLES[name]), *(_rank_cell([pair.measures[name] for pair in pairs], gains) for gains in (means, bests)))
        for name in shown
    ]
    few = f"Over {len(pairs)} pairs; no correlation is shown below {ENOUGH}, and no significance is claimed."
    return Table("Transferability and gain over pairs", columns, tuple(rows), (few, _note(rule)))


def _rank_cell(measures: Sequence[float], gains: Sequence[float]) -> Cell:
    both = np.array([pair for pair in zip(measures, gains, strict=True) if np.isfinite(pair).all()])
    rho = spearman(*both.T) if len(both) >= ENOUGH else float("nan")
    return Cell(f"{rho:+.2f}", (rho, len(both))) if np.isfinite(rho) else DASH


def _note(rule: str) -> str:
    return (
        "Measures: of source-only features after the last step on both test sets, mean over seeds; LEEP, NCE, LogME, "
        "H-score and TransRate use target labels, which nobody has before the fact. Gains: points of target accuracy "
        f"over source only, mean over seeds; rule: {RULES[rule]}."
    )
