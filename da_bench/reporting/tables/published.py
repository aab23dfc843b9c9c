"""Published numbers and how they compare with runs.

A published number belongs to its network, its split and its way of selecting a checkpoint. Next to a result with
others it is only shown and is not a target. The numbers themselves are in `baselines/published.toml`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from da_bench.reporting.stats.intervals import prediction_interval

ROUNDING = 5e-4  # papers print three digits of an accuracy


class Source(NamedTuple):
    """A published table and how its numbers were obtained.

    Args:
        name: short name.
        citation: full reference.
        network: as in `da-bench list models`, or "none" for classical methods on features.
        protocol: "inductive", "transductive" or "whole".
        selection: how checkpoints and settings were selected.
        runs: number of runs, in words.
        averaged: number of runs that a number is the mean of, for all methods or by method; 1 if unknown.
        inputs: "msda" for that representation, "" for the task's own inputs; only runs on the same are compared.
    """

    name: str
    citation: str
    network: str
    protocol: str
    selection: str
    runs: str
    averaged: int | Mapping[str, int] = 1
    inputs: str = ""


class Number(NamedTuple):
    """Published accuracies of one method.

    Attributes:
        source: table that they are from.
        method: name of the method here, or of a form in FORMS.
        accuracy: task without its protocol suffix -> accuracy in [0, 1].
    """

    source: Source
    method: str
    accuracy: Mapping[str, float]


NUMBERS: list[Number] = []
FORMS: dict[str, dict[str, Any]] = {}  # printed name -> entries of config["method"] of such a run


def publish(source: Source, tasks: Sequence[str], percents: Mapping[str, Sequence[float | None]]) -> None:
    """Register the numbers of a source.

    Args:
        source: the table.
        tasks: its columns.
        percents: method -> percent on each task; None if the source has no number.

    Raises:
        ValueError: a row of another length, or a percentage outside [0, 100].
    """
    for method, row in percents.items():
        accuracy = {task: value / 100 for task, value in zip(tasks, row, strict=True) if value is not None}
        if not all(0 <= value <= 1 for value in accuracy.values()):
            raise ValueError(f"{source.name}, {method}: a percentage is in [0, 100], got {row}")
        NUMBERS.append(Number(source, method, accuracy))


def publish_form(name: str, method: str, **fields: Any) -> None:
    """Register a form of a method that papers print under its own name, such as CDAN+E.

    Args:
        name: printed name.
        method: registered name of the method.
        fields: fields of the method that make the form.
    """
    FORMS[name] = {"name": method, **fields}


def published_name(config: Mapping[str, Any]) -> str:
    """Name under which a run's method is published: "target_only", a form's name, or the method's."""
    if config["labels_from"] != "source":
        return "target_only"
    method = config["method"]
    return next((name for name, fields in FORMS.items() if fields.items() <= method.items()), str(method["name"]))


def number_averaged(averaged: int | Mapping[str, int], method: str) -> int:
    """Number of runs that a method's published numbers are the mean of, see `Source.averaged`."""
    return averaged if isinstance(averaged, int) else averaged.get(method, 1)


def is_reproduced(accuracies: Sequence[float], printed: float, runs: int = 1) -> bool:
    """Whether a printed accuracy agrees with measured ones, up to its rounding.

    Several accuracies agree if the printed one lies in their 95 % prediction interval; a single accuracy, of a method
    without randomness, if both are equal as printed.

    Args:
        accuracies: measured accuracies in [0, 1], one per seed.
        printed: printed accuracy in [0, 1].
        runs: number of runs that the printed accuracy is the mean of.
    """
    low, high = prediction_interval(accuracies, runs) if len(accuracies) > 1 else (accuracies[0], accuracies[0])
    return low - ROUNDING <= printed <= high + ROUNDING
