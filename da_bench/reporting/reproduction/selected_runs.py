"""The runs behind each cell of a card, and which of them a selection rule picks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from da_bench.core.config import UserError
from da_bench.evaluation.validators import LAST, ORACLE, VALIDATORS
from da_bench.reporting.reproduction.paper import CellKey, Paper
from da_bench.reporting.tables.published import published_name
from da_bench.studies.records import Record

Groups = Mapping[CellKey, Sequence[Record]]


def cell_key(config: Mapping[str, Any]) -> CellKey:
    """(method, task) of a run's config."""
    return published_name(config), config["task"].partition("@")[0]


def group_by_cell(records: Iterable[Record]) -> dict[CellKey, list[Record]]:
    """The records of each method and task."""
    groups: dict[CellKey, list[Record]] = {}
    for record in records:
        groups.setdefault(cell_key(record.config), []).append(record)
    return groups


def select_runs(records: Sequence[Record], rule: str) -> dict[int, Record]:
    """Pick one run per seed: the setting whose checkpoint the rule scores highest.

    Of equal scores the first wins. Runs without a result are left out.

    Args:
        records: runs of one method on one task, at one or several settings.
        rule: selection rule.

    Returns:
        Seed -> record, in order of seeds.

    Raises:
        UserError: several settings, and a rule that scores none.
    """
    by_seed: dict[int, list[Record]] = {}
    for record in records:
        if rule in record.result["rules"]:
            by_seed.setdefault(record.config["seed"], []).append(record)
    if rule == LAST:
        for group in by_seed.values():
            if len(group) > 1:
                raise_ambiguous_settings(cell_key(group[0].config), len(group))
    return {seed: max(group, key=lambda run: _score(run, rule)) for seed, group in sorted(by_seed.items())}


def _score(record: Record, rule: str) -> float:
    """Score of the checkpoint that the rule chose; -inf if it is not finite."""
    if rule == LAST:
        return 0.0
    chosen = record.result["rules"][rule]
    if rule == ORACLE:
        return float(chosen["target_accuracy"])
    value = record.curves["validators"][rule][chosen["evaluation"]]
    return float("-inf") if value is None else float(value)


def raise_ambiguous_settings(key: CellKey, settings: int) -> NoReturn:
    """Raise UserError: the last step cannot choose among settings."""
    method, task = key
    raise UserError(
        f"{settings} settings of '{method}' on '{task}', but the rule 'last' cannot choose between settings: give "
        f"another rule, one of {', '.join(VALIDATORS)}, or declare the form of the method that is printed under a "
        "name of its own (publish_form)"
    )


def selected_accuracies(records: Sequence[Record], rule: str) -> dict[int, float]:
    """Seed -> target accuracy in [0, 1] of the run that the rule picks."""
    selected = select_runs(records, rule)
    return {seed: float(run.result["rules"][rule]["target_accuracy"]) for seed, run in selected.items()}


def measured_accuracies(paper: Paper, groups: Groups, key: CellKey) -> dict[int, float]:
    """Seed -> target accuracy in [0, 1] by the rule that stands for the paper's; empty if nothing was run."""
    return selected_accuracies(groups.get(key, []), paper.rule_of(key[0]))


def check_scored(paper: Paper, groups: Groups) -> None:
    """Raise UserError if a run has a result, but none by the paper's rule."""
    for (method, _), group in groups.items():
        rule = paper.rule_of(method)
        unscored = [run.id for run in group if run.result["rules"] and rule not in run.result["rules"]]
        if unscored:
            raise UserError(
                f"{len(unscored)} runs of '{method}', such as {unscored[0]}, have no result by '{rule}', the paper's "
                "rule: run them again in another results folder with --validators all or --reverse"
            )
