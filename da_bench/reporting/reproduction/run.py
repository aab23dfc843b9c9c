"""Write a reproduction's card, remake it from what a folder stores, and run its quick check."""

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.storage import write_atomic
from da_bench.evaluation.validators import VALIDATORS
from da_bench.reporting.plots.write import write_figures
from da_bench.reporting.reproduction.card import Card, build_card
from da_bench.reporting.reproduction.declared import Reproduction, planned_seeds
from da_bench.reporting.reproduction.disagreements import (
    FILE_NAME,
    Disagreement,
    count_disagreements,
    read_disagreements,
)
from da_bench.reporting.reproduction.paper import CellKey, Paper, check_label_free
from da_bench.reporting.reproduction.selected_runs import Groups, group_by_cell, measured_accuracies
from da_bench.studies import archive
from da_bench.studies.options import Options
from da_bench.studies.results import Results
from da_bench.studies.study import study


class ReproduceError(UserError):
    """A number of a quick check is outside its interval."""

    code = 1


def options_for(reproduction: Reproduction, options: Options, label_free: str = "im") -> Options:
    """Extend options by what the card's rules need: stored features, reverse validation.

    Args:
        reproduction: the reproduction.
        options: options of the command.
        label_free: rule of the card's label-free column.

    Raises:
        UserError: the rule is unknown, or the oracle.
    """
    check_label_free(label_free)
    paper = reproduction.paper
    general, by_method = (paper.rule, label_free), [*paper.rules.items(), *paper.label_free.items()]
    needs_features = any("features" in _needs(rule) for rule in (*general, *(rule for _, rule in by_method)))
    reverse_methods = tuple(
        dict.fromkeys(method for method, rule in by_method if "reverse_predictions" in _needs(rule))
    )
    return dataclasses.replace(
        options,
        validators="all" if needs_features else options.validators,
        reverse=options.reverse or any("reverse_predictions" in _needs(rule) for rule in general) or reverse_methods,
    )


def _needs(rule: str) -> tuple[str, ...]:
    return VALIDATORS[rule].needs if rule in VALIDATORS else ()


def write_reproduction(
    reproduction: Reproduction, results: Results, options: Options, label_free: str
) -> tuple[Card, list[Path]]:
    """Write card.md and card.json, tables, plots, figures and the archive of records into results/NAME.

    Args:
        reproduction: the reproduction.
        results: records of its experiments.
        options: options of the command.
        label_free: rule of the card's label-free column.

    Returns:
        The card and the paths of the written files.

    Raises:
        UserError: as `build_card`; or data that are missing or are not those of the records.
    """
    folder = results.folder / reproduction.name
    written = results.write(reproduction.name, reproduction.paper.rule)
    records = archive.records_in(folder)  # as they are stored, so that the card can be remade from the archive
    disagreements = count_disagreements(reproduction.paper, records, options)
    planned = planned_seeds(reproduction.experiments)
    card = build_card(reproduction.paper, reproduction.question, records, disagreements, label_free, planned)
    figures = reproduction.figures(options.results, records, options.data_root) if reproduction.figures else {}
    return card, [*write_card(card, disagreements, folder), *write_figures(figures, folder), *written]


def write_card(card: Card, disagreements: Sequence[Disagreement], folder: Path) -> list[Path]:
    """Write card.md, card.json and, if there are disagreements, disagreements.json; return their paths."""
    texts = {"card.md": card.markdown(), "card.json": _to_json(card.data())}
    if disagreements:
        texts[FILE_NAME] = _to_json([each._asdict() for each in disagreements])
    return [write_atomic(folder / name, text) for name, text in texts.items()]


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def remake_card(reproduction: Reproduction, folder: Path, label_free: str = "im") -> Card:
    """Build the card from what a study's folder stores: the archive of records and disagreements.json."""
    records, disagreements = archive.records_in(folder), read_disagreements(folder)
    planned = planned_seeds(reproduction.experiments)
    return build_card(reproduction.paper, reproduction.question, records, disagreements, label_free, planned)


def run_quick_check(reproduction: Reproduction, options: Options) -> list[str]:
    """Run the quick check in a temporary folder.

    Returns:
        One line for each number; all numbers are within their intervals.

    Raises:
        ReproduceError: a number is outside its interval.
        UserError: there is no quick check, or as `study`.
    """
    if reproduction.quick is None:
        raise UserError(f"'{reproduction.name}' has no quick check: its file defines no QUICK")
    with tempfile.TemporaryDirectory() as folder:
        options = dataclasses.replace(options_for(reproduction, options), results=Path(folder))
        records = study(reproduction.quick.experiments, options).records
    lines = list(_compare(reproduction.quick.within, group_by_cell(records), reproduction.paper))
    outside = [line for line, is_inside in lines if not is_inside]
    if outside:
        raise ReproduceError(
            f"{reproduction.name}: {len(outside)} of {len(lines)} numbers are outside their interval: "
            f"{'; '.join(outside)}"
        )
    return [line for line, _ in lines]


def _compare(within: Mapping[CellKey, tuple[float, float]], groups: Groups, paper: Paper) -> Iterator[tuple[str, bool]]:
    """(line to print, whether the mean accuracy is in its interval) of each number."""
    for (method, task), (low, high) in within.items():
        accuracies = list(measured_accuracies(paper, groups, (method, task)).values())
        mean = float(np.mean(accuracies or [np.nan]))
        line = f"{method} on {task}: {100 * mean:.1f}, expected [{100 * low:.1f}, {100 * high:.1f}]"
        yield line, low <= mean <= high
