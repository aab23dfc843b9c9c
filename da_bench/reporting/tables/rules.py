"""Records -> tables: every method beside source only and the upper bound, by every selection rule, with intervals."""

from collections.abc import Sequence

from da_bench.core.config import UserError, did_you_mean
from da_bench.evaluation.validators import LAST, ORACLE, RULES


def check_rule(rule: str) -> None:
    """Raise UserError for an unknown selection rule."""
    if rule not in RULES:
        raise UserError(f"unknown rule '{rule}'{did_you_mean(rule, RULES)}")


DEFAULT_RULES = ("im", "source_validation")  # with a column whatever rule is declared


def shown_rules(rule: str, others: Sequence[str] = DEFAULT_RULES) -> list[str]:
    """Rules with a column of their own, in the order of RULES: last, the declared one, the oracle and `others`.

    Raises:
        UserError: for an unknown rule.
    """
    for one in (rule, *others):
        check_rule(one)
    return [one for one in RULES if one in (LAST, rule, ORACLE, *others)]
