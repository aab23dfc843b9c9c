"""Numbers that others published, as data with their protocol, and tables of them beside ours.

A published number belongs to its network, its split and its way of choosing a checkpoint. Beside a result that has
others it is shown as such: it is no target. The numbers themselves are in `baselines/published.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from da_bench.reporting.stats.intervals import prediction_interval

ROUNDING = 5e-4  # papers print three digits of an accuracy


class Source(NamedTuple):
    """Where numbers come from, and what they are of.

    name: short; citation; network: as in `da-bench list models`, or "none" on features; protocol: "inductive",
    "transductive" or "whole"; selection: how the checkpoint and settings were chosen; runs: "3", or what is known of
    it; averaged: of how many runs a number is the mean, of every method or by method, 1 where that is not known;
    inputs: "" for the task's own, "msda" for that representation: numbers stand beside runs on the same alone.
    """

    name: str
    citation: str
    network: str
    protocol: str
    selection: str
    runs: str
    averaged: int | Mapping[str, int] = 1
    inputs: str = ""


def number_averaged(averaged: int | Mapping[str, int], method: str) -> int:
    """Of how many runs the method's numbers are means, by `Source.averaged`."""
    return averaged if isinstance(averaged, int) else averaged.get(method, 1)


class Number(NamedTuple):
    """Published accuracies in [0, 1] by task, protocol suffix left out; method: its name here, or that of a form."""

    source: Source
    method: str
    accuracy: Mapping[str, float]


NUMBERS: list[Number] = []

FORMS: dict[str, dict[str, Any]] = {}  # name in print -> what config["method"] of such a run holds


def publish(source: Source, tasks: Sequence[str], percents: Mapping[str, Sequence[float | None]]) -> None:
    """Add a source's table: method -> percent on each of `tasks`, None where there is none.

    Raises:
        ValueError: for a row of another length, or a percent outside 0 .. 100.
    """
    for method, row in percents.items():
        known = {task: value / 100 for task, value in zip(tasks, row, strict=True) if value is not None}
        if not all(0 <= value <= 1 for value in known.values()):
            raise ValueError(f"{source.name}, {method}: percent are from 0 to 100, not {row}")
        NUMBERS.append(Number(source, method, known))


def publish_form(name: str, method: str, **fields: Any) -> None:
    """Say that a method whose fields are these is printed under a name of its own, as CDAN+E is."""
    FORMS[name] = {"name": method, **fields}


def published_name(config: Mapping[str, Any]) -> str:
    """Under which name what a run's config says is published: "target_only", that of a form, or the method's."""
    if config["labels_from"] != "source":
        return "target_only"
    method = config["method"]
    return next((name for name, fields in FORMS.items() if fields.items() <= method.items()), str(method["name"]))


def is_reproduced(ours: Sequence[float], theirs: float, runs: int = 1) -> bool:
    """Whether a printed accuracy, the mean of so many runs, could be one of ours, to its own rounding.

    ours: accuracies of runs that differ in their seeds: it lies within their 95 % prediction interval; of one run that
    nothing random is in: both are equal as printed.
    """
    low, high = prediction_interval(ours, runs) if len(ours) > 1 else (ours[0], ours[0])
    return low - ROUNDING <= theirs <= high + ROUNDING
