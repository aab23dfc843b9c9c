"""What a reproduction declares: the numbers of a paper and, optionally, a check of minutes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from da_bench.core.config import UserError
from da_bench.evaluation.validators import ORACLE, RULES
from da_bench.reporting.tables.published import NUMBERS, Source
from da_bench.reporting.tables.rules import check_rule
from da_bench.studies.experiment import Experiment

CellKey = tuple[str, str]  # a method, as named by `published_name`, and a task without its protocol suffix


@dataclasses.dataclass(frozen=True, kw_only=True)
class Paper:
    """What a paper reports, and how it obtained its numbers.

    Args:
        title: the paper and its table, in short.
        citation: full reference.
        protocol: protocol of the paper, in words.
        selection: how the paper chose checkpoints and settings, in words.
        rule: selection rule that stands for the paper's: one of `da-bench list validators`, "last" or "oracle".
        rules: method -> selection rule, for methods with another rule than `rule`.
        label_free: method -> rule of the card's label-free column, for methods with another rule than the card's;
            "last" if no rule can choose among the method's settings without target labels.
        cells: (method, task) -> printed accuracy in [0, 1]; tasks without their protocol suffix.
        better: (first, second) -> printed probability that the first method is better than the second on most pairs.
        averaged: number of runs that a printed number is the mean of, for all methods or by method; see `Source`.
        differences: what is not as in the paper.
        cost: cost of the whole command on a named device.

    Raises:
        UserError: an unknown rule, the oracle as a label-free rule, or an accuracy outside [0, 1].
    """

    title: str
    citation: str
    protocol: str
    selection: str
    rule: str
    rules: Mapping[str, str] = dataclasses.field(default_factory=dict)
    label_free: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cells: Mapping[CellKey, float]
    better: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    averaged: int | Mapping[str, int] = 1
    differences: tuple[str, ...] = ()
    cost: str = ""

    def __post_init__(self) -> None:
        for rule in (self.rule, *self.rules.values()):
            check_rule(rule)
        for rule in self.label_free.values():
            check_label_free(rule)
        for (method, task), value in self.cells.items():
            if not 0 <= value <= 1:
                raise UserError(f"Paper.cells: {method} on {task} is {value}; an accuracy is in [0, 1]")

    def rule_of(self, method: str) -> str:
        """Selection rule that stands for the paper's choice among its runs of a method."""
        return self.rules.get(method, self.rule)

    def describe_rules(self) -> str:
        """The selection rules in words."""
        return describe_rules(self.rule, self.rules)

    def describe_label_free(self, rule: str) -> str:
        """The label-free rules in words; `rule` is the card's."""
        return describe_rules(rule, self.label_free)


class Quick(NamedTuple):
    """A check of minutes: fewer experiments, and the interval in which their mean accuracies must lie.

    Args:
        experiments: experiments that the check runs.
        within: (method, task) -> closed interval in [0, 1] of the mean target accuracy over seeds.
    """

    experiments: list[Experiment]
    within: Mapping[CellKey, tuple[float, float]]


def printed(
    *sources: Source, tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> dict[CellKey, float]:
    """Cells of published tables, for `Paper.cells`.

    Args:
        sources: tables of `da_bench.baselines.published`.
        tasks: keep only these tasks; default: all.
        methods: keep only these methods; default: all.

    Returns:
        (method, task) -> accuracy in [0, 1].
    """
    return {
        (number.method, task): value
        for number in NUMBERS
        if number.source in sources and (methods is None or number.method in methods)
        for task, value in number.accuracy.items()
        if tasks is None or task in tasks
    }


def check_label_free(rule: str) -> None:
    """Raise UserError for an unknown rule, or the oracle, which needs target labels."""
    check_rule(rule)
    if rule == ORACLE:
        raise UserError(
            "the oracle needs target labels: give a label-free rule, of `da-bench list validators`, or last"
        )


def describe_rules(rule: str, by_method: Mapping[str, str]) -> str:
    """Rules in words: "last step; dann: IM"."""
    return "; ".join([RULES[rule], *(f"{method}: {RULES[other]}" for method, other in by_method.items())])
