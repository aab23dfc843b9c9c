"""Random search: an experiment's own setting and draws from its search space, all of them one compiled program."""

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
    """Return `trials` settings of each experiment: its own first, by default the paper's, then draws from its space.

    For `da.over_seeds`, then `da.study`. The settings of one experiment differ in float fields alone, so they are one
    compiled program. Each field has its own stream of draws: every method gets the same learning rates, so methods are
    compared at the same rates, and a larger search contains the smaller one. Draws are independent, not a Sobol
    sequence, as in the reality check (arXiv:2111.15672); so any subset is distributed like a smaller search,
    and the best-so-far curve of the report is exact.

    Args:
        experiments: to search around.
        trials: number of settings of each, at least 1.
        seed: of the draws.
        learning_rate: search space of the learning rate.

    Raises:
        UserError: `trials` is below 1, or see `search_space`.
    """
    if trials < 1:
        raise UserError(f"trials = {trials}: at least 1 is needed, the experiment's own setting; 20 are a small search")
    spaces = [(experiment, search_space(experiment, learning_rate)) for experiment in experiments]
    return [
        setting
        for experiment, space in spaces
        for setting in (experiment, *_draw_settings(experiment, space, trials - 1, seed))
    ]


def _draw_settings(experiment: Experiment, spaces: Mapping[str, Space], count: int, seed: int) -> list[Experiment]:
    quantiles = {name: np.random.default_rng([seed, zlib.crc32(name.encode())]).random(count) for name in spaces}
    return [
        with_values(experiment, {name: space.quantile(quantiles[name][i]) for name, space in spaces.items()})
        for i in range(count)
    ]


def search_space(experiment: Experiment, learning_rate: Space = LEARNING_RATE) -> Mapping[str, Space]:
    """Return what is searched: {"training.learning_rate": ..., "method.weight": ...}.

    Raises:
        UserError: the method is classical, or a space does not contain the experiment's own setting.
    """
    method = experiment.method
    if not isinstance(method, Method):
        raise UserError(
            f"'{method.name}' is a classical method, which has no learning rate and declares no space to search: "
            "leave it out of the search and run it separately"
        )
    spaces = {RATE: learning_rate, **{f"method.{field}": space for field, space in method.metadata.search.items()}}
    for name, value in current_values(experiment, spaces).items():
        if not spaces[name].contains(value):
            argument = (
                " as `learning_rate`" if name == RATE else f" in @register(search=...) of {type(method).__name__}"
            )
            raise UserError(
                f"{name} = {value} of '{method.name}' is outside the space that is searched, {spaces[name]}: start "
                f"inside it, or give one that contains it{argument}"
            )
    return spaces


def current_values(experiment: Experiment, names: Iterable[str]) -> dict[str, float]:
    """Return an experiment's own values of the named fields, such as "method.weight"."""
    return {name: getattr(getattr(experiment, part), field) for name in names for part, field in [name.split(".")]}


def with_values(experiment: Experiment, values: Mapping[str, float]) -> Experiment:
    """Return the experiment with other values of the named fields."""
    changes: dict[str, dict[str, float]] = {"training": {}, "method": {}}
    for name, value in values.items():
        part, field = name.split(".")
        changes[part][field] = value
    parts = {part: dataclasses.replace(getattr(experiment, part), **fields) for part, fields in changes.items()}
    return dataclasses.replace(experiment, **parts)
