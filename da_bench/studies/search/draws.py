"""Random search: an experiment's own setting and others drawn from its space, all of them one compiled program."""

import dataclasses
import zlib
from collections.abc import Iterable, Mapping

import numpy as np

from da_bench.core.config import UserError
from da_bench.methods import Method
from da_bench.methods.search_space import LEARNING_RATE, Space
from da_bench.studies.experiment import Experiment

RATE = "training.learning_rate"


def over_trials(
    experiments: Iterable[Experiment], trials: int, seed: int = 0, learning_rate: Space = LEARNING_RATE
) -> list[Experiment]:
    """`trials` settings of each experiment: its own first, by default the paper's, then draws from its space.

    For `da.over_seeds`, then `da.study`. Those of one experiment differ in float fields alone: one compiled program.
    Each field has a stream of draws of its own: those of the learning rate are the same for every method, so that
    methods are compared at the same rates, and more trials are these and further ones. Draws are independent, not a
    Sobol sequence, as in the reality check (arXiv:2111.15672): then any part of them is what a smaller search would
    have drawn, and the best-so-far curve of the report is no guess.

    seed: of the draws; learning_rate: the space of the learning rate, a step.

    Raises:
        UserError: see `space_of`; or less than one trial.
    """
    if trials < 1:
        raise UserError(f"trials = {trials}: at least 1 is needed, the experiment's own setting; 20 are a small search")
    spaces = [(one, space_of(one, learning_rate)) for one in experiments]
    return [setting for one, space in spaces for setting in (one, *_drawn(one, space, trials - 1, seed))]


def _drawn(experiment: Experiment, spaces: Mapping[str, Space], count: int, seed: int) -> list[Experiment]:
    shares = {name: _shares(name, count, seed) for name in spaces}
    return [
        placed(experiment, {name: space.quantile(shares[name][i]) for name, space in spaces.items()})
        for i in range(count)
    ]


def _shares(name: str, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, zlib.crc32(name.encode())]).random(count)


def space_of(experiment: Experiment, learning_rate: Space = LEARNING_RATE) -> Mapping[str, Space]:
    """What is searched: {"training.learning_rate": ..., "method.weight": ...}.

    Raises:
        UserError: the method is classical, or a space does not hold the experiment's own setting.
    """
    method = experiment.method
    if not isinstance(method, Method):
        raise UserError(
            f"'{method.name}' is a classical method, which has no learning rate and declares no space to search: "
            "leave it out of the search, and give its runs beside it"
        )
    spaces = {RATE: learning_rate, **{f"method.{field}": space for field, space in method.metadata.search.items()}}
    for name, value in values_of(experiment, spaces).items():
        if not spaces[name].contains(value):
            argument = (
                " as `learning_rate`" if name == RATE else f" in @register(search=...) of {type(method).__name__}"
            )
            raise UserError(
                f"{name} = {value} of '{method.name}' is outside of the space that is searched, {spaces[name]}: begin "
                f"inside it, or give one that holds it{argument}"
            )
    return spaces


def values_of(experiment: Experiment, names: Iterable[str]) -> dict[str, float]:
    """An experiment's own values of such fields."""
    return {name: getattr(getattr(experiment, part), field) for name in names for part, field in [name.split(".")]}


def placed(experiment: Experiment, values: Mapping[str, float]) -> Experiment:
    """The experiment with other values of such fields."""
    given: dict[str, dict[str, float]] = {"training": {}, "method": {}}
    for name, value in values.items():
        part, field = name.split(".")
        given[part][field] = value
    parts = {part: dataclasses.replace(getattr(experiment, part), **fields) for part, fields in given.items()}
    return dataclasses.replace(experiment, **parts)
