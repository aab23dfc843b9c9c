"""Validators judged by what they are for: whether their score follows target accuracy, and what choosing by it costs.

A pool is what a rule chooses from. "checkpoints": the evaluations of one run. "settings": all evaluations of all runs
of one method that differ in hyper-parameters alone, seed by seed. The regret of a rule is the best target accuracy of
its pool minus that of what it chose, in points.
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
from da_bench.reporting.tables.table import Cell, Column, Table
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
    "rho and tau: rank correlation of a rule's score with target accuracy within a pool, mean over pools (one in which "
    "either is constant has none). Regret: target accuracy of the oracle minus that of the rule's choice, in "
    "points, mean and worst over pools. Scores that are not finite rank last. The oracle's regret is 0: it cheats."
)


class Pool(NamedTuple):
    """accuracy [k]: target accuracy of what there is to choose from; scores [k] by validator; last: what the rule
    `last` chooses, None where there are several last ones.
    """

    accuracy: np.ndarray
    scores: dict[str, np.ndarray]
    last: int | None


class RuleQuality(NamedTuple):
    """Of one rule in one pool: rank correlations, NaN where there are none, and regret in [0, 1]."""

    spearman: float
    kendall: float
    regret: float


def validator_tables(records: Sequence[Record], by_method: bool = False) -> list[Table]:
    """One table a pair, or a pair and method, over checkpoints, and one over settings where several were run.

    Raises:
        UserError: for no records.
    """
    tables = []
    for task, group in group_for_tables(records).items():
        runs = [one for one in group if one.curves and one.config["labels_from"] == "source"]
        for name, members in _methods(runs).items() if by_method else [("", runs)]:
            title = f"{task}: {name}" if name else task
            over = {"checkpoints": [build_pool([one]) for one in members], "settings": _settings(members)}
            tables += [_table(f"{title}, over {what}", pools, members) for what, pools in over.items() if pools]
    return tables


def build_pool(runs: Sequence[Record]) -> Pool:
    """All evaluations of runs, and what every validator that judged all of them says; null scores are NaN."""
    curves = [one.curves for one in runs]
    names = [name for name in VALIDATORS if all(name in one["validators"] for one in curves)]
    scores = {name: _joined([one["validators"][name] for one in curves]) for name in names}
    accuracy = _joined([one["target_accuracy"] for one in curves])
    return Pool(accuracy, scores, len(accuracy) - 1 if len(runs) == 1 else None)


def evaluate_rule(pool: Pool, rule: str) -> RuleQuality | None:
    """How well a rule does in a pool; None where it cannot choose there."""
    best = float(pool.accuracy.max())
    if rule == ORACLE:
        return RuleQuality(spearman(pool.accuracy, pool.accuracy), kendall(pool.accuracy, pool.accuracy), 0.0)
    if rule == LAST:
        return None if pool.last is None else RuleQuality(np.nan, np.nan, best - float(pool.accuracy[pool.last]))
    if rule not in pool.scores or not np.isfinite(pool.scores[rule]).any():
        return None
    scores = pool.scores[rule]
    # of a run only one checkpoint has a reverse learner: the others were not looked at, which is no low score
    seen = np.isfinite(scores) if "reverse_predictions" in VALIDATORS[rule].needs else slice(None)
    pair = scores[seen], pool.accuracy[seen]
    return RuleQuality(spearman(*pair), kendall(*pair), best - float(pool.accuracy[last_argmax(scores)]))


def _joined(lists: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array([np.nan if value is None else value for one in lists for value in one], np.float64)


def _methods(runs: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for one in runs:
        found.setdefault(one.config["method"]["name"], []).append(one)
    return found


def _settings(runs: Sequence[Record]) -> list[Pool]:
    """One pool a method, network and seed of which there are several settings."""
    groups: dict[Any, list[Record]] = {}
    for one in runs:
        key = one.config["method"]["name"], canonical_json(one.config["model"]), one.config["seed"]
        groups.setdefault(key, []).append(one)
    return [build_pool(group) for group in groups.values() if len(group) > 1]


def _table(title: str, pools: Sequence[Pool], runs: Sequence[Record]) -> Table:
    rules = [one for one in RULES if one not in VALIDATORS or any(one in run.curves["validators"] for run in runs)]
    rows = [_row(rule, [found for pool in pools if (found := evaluate_rule(pool, rule)) is not None]) for rule in rules]
    made_of = f"{len(pools)} pools of {', '.join(row_names(runs))}."
    return Table(f"Validators, {title}", COLUMNS, tuple(rows), (made_of, NOTE, *provenance(runs)))


def _row(rule: str, found: Sequence[RuleQuality]) -> tuple[Cell, ...]:
    if not found:
        return (Cell(RULES[rule]), *[MISSING] * (len(COLUMNS) - 1))
    spearman, kendall, regret = (np.array(values) for values in zip(*found, strict=True))
    worst, mark = float(regret.max()), "oracle" if rule == ORACLE else ""
    return (
        Cell(RULES[rule] + ("*" if rule == ORACLE else ""), (), mark),
        _correlation(spearman),
        _correlation(kendall),
        Cell(f"{100 * regret.mean():.1f}", (float(regret.mean()), len(regret)), mark),
        Cell(f"{100 * worst:.1f}", (worst,), mark),
    )


def _correlation(values: np.ndarray) -> Cell:
    values = values[np.isfinite(values)]
    if not len(values):
        return DASH
    mean = float(values.mean())
    return Cell(f"{round(mean, 12):+.2f}", (mean, len(values)))  # .525 stays .53 whatever its last bit
