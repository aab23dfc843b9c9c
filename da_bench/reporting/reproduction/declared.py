"""Files of experiments that declare a reproduction: found by parsing them, loaded when they are asked for."""

import ast
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError, did_you_mean, first_line
from da_bench.core.user_files import run_file
from da_bench.evaluation.validators import LAST
from da_bench.methods import load_plugins
from da_bench.reporting.reproduction.paper import CellKey, Paper, Quick
from da_bench.reporting.reproduction.selected_runs import cell_key, raise_ambiguous_settings
from da_bench.studies.experiment import Experiment
from da_bench.studies.experiment_files import experiments_in

PACKAGE = Path(__file__).parents[2]
# The working directory comes first; a wheel has experiments in the package, a checkout next to it.
EXPERIMENT_FOLDERS = (Path("experiments"), PACKAGE / "experiments", PACKAGE.parent / "experiments")


class Reproduction(NamedTuple):
    """A file of experiments that reproduces a paper.

    Attributes:
        name: name of the file without .py.
        question: first line of its docstring.
        paper: its PAPER.
        experiments: its EXPERIMENTS.
        quick: its QUICK, if it defines one.
        figures: its function figures(results, records, data_root), if it defines one; returns figures by name.
    """

    name: str
    question: str
    paper: Paper
    experiments: list[Experiment]
    quick: Quick | None
    figures: Callable[..., Mapping[str, Any]] | None


def names() -> list[str]:
    """Names of all reproductions, sorted."""
    return sorted(_paths())


def find(name: str) -> Reproduction:
    """Load the reproduction of this name.

    Raises:
        UserError: the reproduction does not exist, or its file does not define what it should.
    """
    paths = _paths()
    if name not in paths:
        raise UserError(f"no reproduction '{name}'{did_you_mean(name, sorted(paths))}")
    path = paths[name]
    load_plugins()
    defined = run_file(path)
    paper, quick = defined["PAPER"], defined.get("QUICK")
    if not isinstance(paper, Paper) or not isinstance(quick, Quick | None):
        raise UserError(
            f"{path}: PAPER must be a da.reproduction.Paper, and QUICK, if defined, a da.reproduction.Quick"
        )
    question = first_line(ValueError(defined["__doc__"] or name))
    experiments = experiments_in(path, defined)
    for (key, _), settings in _count_settings(experiments).items():
        if settings > 1 and paper.rule_of(key[0]) == LAST:  # there could be no card after all runs
            raise_ambiguous_settings(key, settings)
    return Reproduction(name, question, paper, experiments, quick, defined.get("figures"))


def planned_seeds(experiments: Iterable[Experiment]) -> Counter[CellKey]:
    """Number of seeds of each method and task."""
    return Counter(key for key, _ in _count_settings(experiments))


def _count_settings(experiments: Iterable[Experiment]) -> Counter[tuple[CellKey, int]]:
    """Number of settings of each method and task, by seed."""
    configs = [experiment.config() for experiment in experiments]
    return Counter((cell_key(config), config["seed"]) for config in configs)


def _paths() -> dict[str, Path]:
    """Name -> file of every reproduction; a folder that comes earlier wins."""
    folders = [folder for folder in EXPERIMENT_FOLDERS if folder.is_dir()]
    if not folders:
        raise UserError(f"no folder of experiments: looked for {' and '.join(map(str, EXPERIMENT_FOLDERS))}")
    return {path.stem: path for folder in reversed(folders) for path in folder.glob("*.py") if _declares_paper(path)}


def _declares_paper(path: Path) -> bool:
    """Whether the file assigns PAPER at its top level, with or without an annotation. The file is not executed."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False
    targets: list[ast.expr] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            targets += statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets.append(statement.target)
    return any(isinstance(target, ast.Name) and target.id == "PAPER" for target in targets)
