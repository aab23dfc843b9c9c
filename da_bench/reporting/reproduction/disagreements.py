"""Test rows on which two methods disagree, and the probability that one of the methods is better."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.reporting.reproduction.paper import Paper
from da_bench.reporting.reproduction.selected_runs import Groups, group_by_cell, measured_accuracies, select_runs
from da_bench.reporting.stats.bayesian import probability_better, probability_better_on_most
from da_bench.reporting.stats.rank_tests import MIN_PAIRS, signed_rank
from da_bench.reporting.tables.cells import MISSING
from da_bench.reporting.tables.table import Cell, Column, Table
from da_bench.studies.data import load_labels
from da_bench.studies.experiment_files import from_config
from da_bench.studies.options import Options
from da_bench.studies.records import Record, Records, strict_json

FILE_NAME = "disagreements.json"
NOTE = (
    "P: probability that the first method is better than the second on most pairs, by the Poisson-binomial test on the "
    "test rows on which exactly one of the two is right (Lacoste et al. 2012). P here: computed for each seed; median "
    "[lowest, highest]. P describes one training run and its test rows, not what another seed would change. The gain "
    "does: it is the Hodges-Lehmann median over pairs of the mean difference over seeds, in points [exact 95 % "
    "interval], with p of Wilcoxon's two-sided signed-rank test over pairs. Pairs: number of pairs on which the first "
    "method has the higher mean."
)
COLUMNS = (
    Column("first", "First"),
    Column("second", "Second"),
    Column("paper", "P, paper", ("p",)),
    Column("here", "P, here", ("median", "low", "high")),
    Column("gain", "Gain", ("median", "low", "high", "mean")),
    Column("p", "p", ("p",)),
    Column("pairs", "Pairs", ("above", "of")),
)


class Disagreement(NamedTuple):
    """Test rows of one task and seed on which exactly one of two methods is right.

    Attributes:
        first: name of the first method.
        second: name of the second method.
        task: task without its protocol suffix.
        seed: seed of the first method's run.
        wins: number of rows on which only the first is right.
        losses: number of rows on which only the second is right.
    """

    first: str
    second: str
    task: str
    seed: int
    wins: int
    losses: int


def count_disagreements(paper: Paper, records: Sequence[Record], options: Options) -> list[Disagreement]:
    """Count disagreements of the methods of `Paper.better`, from stored predictions and the data's labels.

    A method without randomness has one seed, and is compared with every seed of the other.

    Raises:
        UserError: data that are missing or are not those of the records.
    """
    groups, store = group_by_cell(records), Records(options.results)
    counted = []
    for first, second in paper.better:
        rules = paper.rule_of(first), paper.rule_of(second)
        for task in (task for method, task in groups if method == first and (second, task) in groups):
            runs, others = (
                select_runs(groups[method, task], rule) for method, rule in zip((first, second), rules, strict=True)
            )
            for seed, run in runs.items():
                other = others.get(seed) or (next(iter(others.values())) if len(others) == 1 else None)
                if other:
                    correct, other_correct = (
                        _correct_rows(record, rule, store, options)
                        for record, rule in zip((run, other), rules, strict=True)
                    )
                    wins, losses = int(np.sum(correct & ~other_correct)), int(np.sum(other_correct & ~correct))
                    counted.append(Disagreement(first, second, task, seed, wins, losses))
    return counted


def _correct_rows(record: Record, rule: str, store: Records, options: Options) -> np.ndarray:
    """Mask of the target's test rows that are predicted right, [n] bool."""
    task = load_labels(from_config(record.config), options.data_root)
    if task.fingerprint != record.environment["data"]:
        raise UserError(f"the files of '{task.name}' are not those of run {record.id}: they have changed")
    predicted = store.predictions(record.id)["target_test"][record.result["rules"][rule]["evaluation"]]
    return predicted == np.asarray(task.target.test.labels)


def read_disagreements(folder: Path) -> list[Disagreement]:
    """Read the disagreements that a study's folder stores; none if there is no such file."""
    path = folder / FILE_NAME
    return [Disagreement(**entry) for entry in strict_json(path.read_text())] if path.is_file() else []


def comparison_table(paper: Paper, groups: Groups, disagreements: Sequence[Disagreement]) -> Table:
    """Table of `Paper.better`: printed and computed probabilities, and gains over pairs."""
    rows = []
    for (first, second), value in paper.better.items():
        probabilities = _probabilities(first, second, disagreements)
        gains = _mean_gains(paper, groups, first, second)
        cells = (_probability_cell(probabilities), *_gain_cells(gains))
        rows.append((Cell(first), Cell(second), Cell(f"{value:.2f}", (value,)), *cells))
    return Table(f"{paper.title}: is the first better?", COLUMNS, tuple(rows), (NOTE,))


def _probabilities(first: str, second: str, disagreements: Sequence[Disagreement]) -> list[float]:
    """Probability that the first method is better on most pairs, for each seed."""
    by_seed: dict[int, list[float]] = {}
    for each in disagreements:
        if (each.first, each.second) == (first, second):
            by_seed.setdefault(each.seed, []).append(probability_better(each.wins, each.losses))
    return [probability_better_on_most(pairs) for pairs in by_seed.values()]


def _probability_cell(probabilities: Sequence[float]) -> Cell:
    if not probabilities:
        return MISSING
    median, low, high = float(np.median(probabilities)), min(probabilities), max(probabilities)
    return Cell(f"{median:.2f} [{low:.2f}, {high:.2f}]", (median, low, high))


def _mean_gains(paper: Paper, groups: Groups, first: str, second: str) -> np.ndarray:
    """Mean accuracy of the first method minus that of the second, on the pairs where both have a result: [pairs]."""
    gains = []
    for task in [task for method, task in groups if method == first]:
        accuracies = [list(measured_accuracies(paper, groups, (method, task)).values()) for method in (first, second)]
        if all(accuracies):
            gains.append(np.mean(accuracies[0]) - np.mean(accuracies[1]))
    return np.array(gains)


def _gain_cells(gains: np.ndarray) -> tuple[Cell, Cell, Cell]:
    if len(gains) < MIN_PAIRS:
        return MISSING, MISSING, Cell(f"{len(gains)} pairs", (None, len(gains)))
    test, above = signed_rank(gains), int(np.sum(gains > 0))
    text = f"{100 * test.median:+.1f} [{100 * test.low:+.1f}, {100 * test.high:+.1f}]"
    return (
        Cell(text, (test.median, test.low, test.high, float(gains.mean()))),
        Cell(f"{test.p:.3f}", (test.p,)),
        Cell(f"{above} of {len(gains)}", (above, len(gains))),
    )
