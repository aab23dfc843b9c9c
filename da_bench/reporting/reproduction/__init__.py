"""Reproductions: files of experiments that say what a paper printed, made and compared by one command.

Such a file defines, beside EXPERIMENTS, PAPER, a `Paper`; for a check of minutes, QUICK, a `Quick`; and, where figures
are part of it, figures(results, records, data_root), which returns figures by name.
"""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError, did_you_mean, first_line
from da_bench.core.storage import write_atomic
from da_bench.evaluation.validators import LAST, VALIDATORS
from da_bench.methods import load_plugins
from da_bench.reporting.plots.plots import write_figures
from da_bench.reporting.reproduction.card import (
    Card,
    CellKey,
    Disagreement,
    Paper,
    build_card,
    cell_key,
    check_honest_rule,
    group_by_cell,
    measured_accuracies,
    printed,
    raise_ambiguous_settings,
    select_runs,
)
from da_bench.studies import archive
from da_bench.studies.experiment import Experiment, definitions, experiments_in, from_config
from da_bench.studies.options import Options, marked_task
from da_bench.studies.records import Record, Records, strict_json
from da_bench.studies.study import Results, study

__all__ = ["Paper", "Quick", "printed"]

EXPERIMENT_FOLDERS = (Path("experiments"), Path(__file__).parents[3] / "experiments")
DISAGREEMENTS = "discords.json"


class ReproduceError(UserError):
    """A number of a quick check left its interval."""

    code = 1


class Quick(NamedTuple):
    """A cut-down list of experiments, and the closed interval in which each mean accuracy over their seeds must lie."""

    experiments: list[Experiment]
    within: Mapping[CellKey, tuple[float, float]]


class Reproduction(NamedTuple):
    """A file of experiments that reproduces a paper. question: the first line of its docstring."""

    name: str
    question: str
    paper: Paper
    experiments: list[Experiment]
    quick: Quick | None
    figures: Callable[..., Mapping[str, Any]] | None


def names() -> list[str]:
    """Of the reproductions that there are."""
    return sorted(path.stem for path in _folder().glob("*.py") if "\nPAPER = " in path.read_text(encoding="utf-8"))


def find(name: str) -> Reproduction:
    """The reproduction of this name.

    Raises:
        UserError: there is none, or its file does not define what it should.
    """
    if name not in names():
        raise UserError(f"no reproduction '{name}'{did_you_mean(name, names())}")
    path = _folder() / f"{name}.py"
    load_plugins()
    found = definitions(path)
    paper, quick = found["PAPER"], found.get("QUICK")
    if not isinstance(paper, Paper) or not isinstance(quick, Quick | None):
        raise UserError(
            f"{path}: PAPER must be a da.reproduction.Paper, and QUICK, if there is one, a da.reproduction.Quick"
        )
    question = first_line(ValueError(found["__doc__"] or name))
    experiments = experiments_in(path, found)
    _check_settings(paper, experiments)
    return Reproduction(name, question, paper, experiments, quick, found.get("figures"))


def _check_settings(paper: Paper, experiments: Sequence[Experiment]) -> None:
    """Refuse what would have no card once all runs are made."""
    for (place, _), settings in _settings(experiments).items():
        if settings > 1 and paper.rule_of(place[0]) == LAST:
            raise_ambiguous_settings(place, settings)


def _folder() -> Path:
    """Where experiments lie: in the working directory, or else in the checkout of this package."""
    there = [folder for folder in EXPERIMENT_FOLDERS if folder.is_dir()]
    if not there:
        raise UserError("no folder 'experiments' here: reproductions are in the repository, not in the package")
    return there[0]


def options_for(one: Reproduction, options: Options, honest: str = "im") -> Options:
    """The options, with what the rules of its card need that runs do not leave else: features, reverse learners.

    honest: the rule of our honest numbers.

    Raises:
        UserError: it is unknown, or the oracle.
    """
    check_honest_rule(honest)
    of_all, of_some = (one.paper.rule, honest), [*one.paper.rules.items(), *one.paper.honest.items()]
    features = any("features" in _needs(rule) for rule in (*of_all, *(rule for _, rule in of_some)))
    back = tuple(dict.fromkeys(method for method, rule in of_some if "reverse_predictions" in _needs(rule)))
    return dataclasses.replace(
        options,
        validators="all" if features else options.validators,
        reverse=options.reverse or any("reverse_predictions" in _needs(rule) for rule in of_all) or back,
    )


def _needs(rule: str) -> tuple[str, ...]:
    return VALIDATORS[rule].needs if rule in VALIDATORS else ()


def write_reproduction(one: Reproduction, results: Results, options: Options, honest: str) -> tuple[Card, list[Path]]:
    """(its card, the files written into results/NAME): card.md and .json, tables, plots, figures and the records.

    Raises:
        UserError: as `card`; data that are missing or not those of the records.
    """
    folder = results.folder / one.name
    written = results.write(one.name, one.paper.rule)
    records = archive.unpack(folder / archive.NAME).records  # as they are kept, so that the card can be made again
    discords = count_disagreements(one.paper, records, options)
    found = build_card(one.paper, one.question, records, discords, honest, seeds_of(one.experiments))
    figures = one.figures(options.results, records, options.data_root) if one.figures else {}
    return found, [*write_card(found, discords, folder), *write_figures(figures, folder), *written]


def write_card(found: Card, discords: Sequence[Disagreement], folder: Path) -> list[Path]:
    """Write card.md, card.json and, where there are any, discords.json into `folder`; returns their paths."""
    texts = {"card.md": found.markdown(), "card.json": _json(found.data())}
    if discords:
        texts[DISAGREEMENTS] = _json([one._asdict() for one in discords])
    return [write_atomic(folder / name, text) for name, text in texts.items()]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def remake_card(one: Reproduction, folder: Path, honest: str = "im") -> Card:
    """The card from what a folder keeps: the records without predictions, and discords.json."""
    path = folder / DISAGREEMENTS
    discords = [Disagreement(**each) for each in strict_json(path.read_text())] if path.is_file() else []
    records = archive.unpack(folder / archive.NAME).records
    return build_card(one.paper, one.question, records, discords, honest, seeds_of(one.experiments))


def seeds_of(experiments: Iterable[Experiment]) -> Counter[CellKey]:
    """With how many seeds each method is run on each task."""
    return Counter(place for place, _ in _settings(experiments))


def _settings(experiments: Iterable[Experiment]) -> Counter[tuple[CellKey, int]]:
    """How many there are of each place and seed."""
    return Counter((cell_key(config), config["seed"]) for config in (one.config() for one in experiments))


def count_disagreements(paper: Paper, records: Sequence[Record], options: Options) -> list[Disagreement]:
    """On which test rows the methods of `Paper.better` differ, by pair and seed: from predictions, and labels here.

    A method with nothing random in it, so of one seed, stands beside every seed of the other.
    """
    groups, store = group_by_cell(records), Records(options.results)
    found = []
    for first, second in paper.better:
        for task in (task for method, task in groups if method == first and (second, task) in groups):
            ours, theirs = (select_runs(groups[method, task], paper.rule_of(method)) for method in (first, second))
            for seed, run in ours.items():
                other = theirs.get(seed) or (next(iter(theirs.values())) if len(theirs) == 1 else None)
                if other:
                    chosen = (run, paper.rule_of(first)), (other, paper.rule_of(second))
                    rights = [_right(*each, store, options) for each in chosen]
                    found.append(Disagreement(first, second, task, seed, *_counts(*rights)))
    return found


def _right(record: Record, rule: str, store: Records, options: Options) -> np.ndarray:
    """Which of the target's test rows are predicted right, [n] bool."""
    task = marked_task(from_config(record.config), options.data_root)
    if task.fingerprint != record.environment["data"]:
        raise UserError(f"'{task.name}' is not what run {record.id} was made of: its files have changed")
    predicted = store.predictions(record.id)["target_test"][record.result["rules"][rule]["evaluation"]]
    return predicted == np.asarray(task.target.test.labels)


def _counts(ours: np.ndarray, theirs: np.ndarray) -> tuple[int, int]:
    return int(np.sum(ours & ~theirs)), int(np.sum(theirs & ~ours))


def run_quick_check(one: Reproduction, options: Options) -> list[str]:
    """Make its quick check anew, in a temporary folder; a line a number that lies in its interval.

    Raises:
        ReproduceError: a number does not. UserError: there is no quick check, or as `study`.
    """
    if one.quick is None:
        raise UserError(f"'{one.name}' has no quick check: its file defines no QUICK")
    with tempfile.TemporaryDirectory() as folder:
        anew = dataclasses.replace(options_for(one, options), results=Path(folder))
        records = study(one.quick.experiments, anew).records
    lines = list(_compared(one.quick.within, group_by_cell(records), one.paper))
    if outside := [line for line, inside in lines if not inside]:
        raise ReproduceError(
            f"{one.name}: {len(outside)} of {len(lines)} numbers left their interval: {'; '.join(outside)}"
        )
    return [line for line, _ in lines]


def _compared(
    within: Mapping[CellKey, tuple[float, float]], groups: Mapping[CellKey, Sequence[Record]], paper: Paper
) -> Iterable[tuple[str, bool]]:
    for (method, task), (low, high) in within.items():
        mean = float(np.mean(list(measured_accuracies(paper, groups, (method, task)).values()) or [np.nan]))
        line = f"{method} on {task}: {100 * mean:.1f}, of [{100 * low:.1f}, {100 * high:.1f}]"
        yield line, low <= mean <= high
