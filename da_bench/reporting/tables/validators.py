"""Tables of how good validators are: whether scores follow target accuracy, and what selecting by them costs.

A pool is what a rule selects from. A pool of checkpoints holds the evaluations of one run. A pool of settings holds all
evaluations of all runs of one method that differ only in hyper-parameters, for one seed. The regret of a rule is the
best target accuracy of its pool minus that of its selection, in points.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.evaluation.validators import LAST, ORACLE, RULES, VALIDATORS, last_argmax
from da_bench.reporting.stats.correlation import kendall, spearman
from da_bench.reporting.tables.cells import DASH, MISSING
from da_bench.reporting.tables.naming import row_names
from da_bench.reporting.tables.provenance import provenance
from da_bench.reporting.tables.rows import group_for_tables
from da_bench.reporting.tables.table import Cell, Column, Mark, Table
from da_bench.studies.experiment import canonical_json
from da_bench.studies.records import Record

COLUMNS = (
    Column("rule", "Rule"),
    Column("spearman", "Spearman\nrho", ("mean", "n")),
    Column("kendall", "Kendall\ntau", ("mean", "n")),
    Column("regret", "Mean\nregret", ("mean", "n")),
    Column("worst", "Worst\nregret", ("worst",)),
)
NOTE = (
    "rho and tau: rank correlation of a rule's score with target accuracy within a pool, mean over pools (undefined if "
    "either is constant). Regret: target accuracy of the oracle minus that of the rule's selection, in points, mean "
    "and worst over pools. Scores that are not finite rank last. The oracle has regret 0 because it uses target labels."
)


class Pool(NamedTuple):
    """Checkpoints that a rule selects from.

    Attributes:
        accuracy: target accuracy of each checkpoint [k], in [0, 1].
        scores: validator -> score of each checkpoint [k]; NaN if it has none.
        last: index of the last checkpoint; None if the pool has several runs.
    """

    accuracy: np.ndarray
    scores: dict[str, np.ndarray]
    last: int | None


class RuleQuality(NamedTuple):
    """Quality of one rule in one pool.

    Attributes:
        spearman: Spearman's rho of score and target accuracy; NaN if undefined.
        kendall: Kendall's tau-b, likewise.
        regret: regret in [0, 1].
    """

    spearman: float
    kendall: float
    regret: float


def validator_tables(records: Sequence[Record], by_method: bool = False) -> list[Table]:
    """One table per task over checkpoints, and one over settings if several were run.

    Args:
        records: records of one or several tasks.
        by_method: one pair of tables for each task and method.

    Raises:
        UserError: no records.
    """
    tables = []
    for task, group in group_for_tables(records).items():
        runs = [record for record in group if record.curves and record.config["labels_from"] == "source"]
        methods: dict[str, list[Record]] = {}
        for run in runs:
            methods.setdefault(f"{task}: {run.config['method']['name']}" if by_method else task, []).append(run)
        for title, members in methods.items():
            pools = {"checkpoints": [build_pool([run]) for run in members], "settings": _pools_of_settings(members)}
            tables += [_table(f"{title}, over {what}", pool, members) for what, pool in pools.items() if pool]
    return tables


def build_pool(runs: Sequence[Record]) -> Pool:
    """Pool of all evaluations of runs, with the validators that scored all of them."""
    curves = [run.curves for run in runs]
    names = [name for name in VALIDATORS if all(name in each["validators"] for each in curves)]
    scores = {name: _concatenate([each["validators"][name] for each in curves]) for name in names}
    accuracy = _concatenate([each["target_accuracy"] for each in curves])
    return Pool(accuracy, scores, len(accuracy) - 1 if len(runs) == 1 else None)


def _concatenate(lists: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array([np.nan if value is None else value for values in lists for value in values], np.float64)


def _pools_of_settings(runs: Sequence[Record]) -> list[Pool]:
    """One pool for each method, model and seed with several settings."""
    groups: dict[Any, list[Record]] = {}
    for run in runs:
        key = run.config["method"]["name"], canonical_json(run.config["model"]), run.config["seed"]
        groups.setdefault(key, []).append(run)
    return [build_pool(group) for group in groups.values() if len(group) > 1]


def evaluate_rule(pool: Pool, rule: str) -> RuleQuality | None:
    """Quality of a rule in a pool; None if it cannot select there."""
    best = float(pool.accuracy.max())
    if rule == ORACLE:
        return RuleQuality(spearman(pool.accuracy, pool.accuracy), kendall(pool.accuracy, pool.accuracy), 0.0)
    if rule == LAST:
        return None if pool.last is None else RuleQuality(np.nan, np.nan, best - float(pool.accuracy[pool.last]))
    if rule not in pool.scores or not np.isfinite(pool.scores[rule]).any():
        return None
    scores = pool.scores[rule]
    # Reverse validation scores one checkpoint of a run; the others have no score, which is not a low score.
    scored = np.isfinite(scores) if "reverse_predictions" in VALIDATORS[rule].needs else slice(None)
    pair = scores[scored], pool.accuracy[scored]
    return RuleQuality(spearman(*pair), kendall(*pair), best - float(pool.accuracy[last_argmax(scores)]))


def _table(title: str, pools: Sequence[Pool], runs: Sequence[Record]) -> Table:
    rows = []
    for rule in RULES:
        if rule not in VALIDATORS or any(rule in run.curves["validators"] for run in runs):
            qualities = [evaluate_rule(pool, rule) for pool in pools]
            rows.append(_row(rule, [quality for quality in qualities if quality is not None]))
    contents = f"{len(pools)} pools of {', '.join(row_names(runs))}."
    return Table(f"Validators, {title}", COLUMNS, tuple(rows), (contents, NOTE, *provenance(runs)))


def _row(rule: str, qualities: Sequence[RuleQuality]) -> tuple[Cell, ...]:
    if not qualities:
        return (Cell(RULES[rule]), *[MISSING] * (len(COLUMNS) - 1))
    rho, tau, regret = (np.array(values) for values in zip(*qualities, strict=True))
    worst = float(regret.max())
    mark: Mark = "oracle" if rule == ORACLE else ""
    return (
        Cell(RULES[rule] + ("*" if rule == ORACLE else ""), (), mark),
        _correlation_cell(rho),
        _correlation_cell(tau),
        Cell(f"{100 * regret.mean():.1f}", (float(regret.mean()), len(regret)), mark),
        Cell(f"{100 * worst:.1f}", (worst,), mark),
    )


def _correlation_cell(values: np.ndarray) -> Cell:
    values = values[np.isfinite(values)]
    if not len(values):
        return DASH
    mean = float(values.mean())
    return Cell(f"{round(mean, 12):+.2f}", (mean, len(values)))  # .525 stays .53 whatever its last bit
