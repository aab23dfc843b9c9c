"""Selection rules that tables show."""

from collections.abc import Sequence

from da_bench.core.config import UserError, did_you_mean
from da_bench.evaluation.validators import LAST, ORACLE, RULES

DEFAULT_RULES = ("im", "source_validation")  # shown whatever rule is declared


def check_rule(rule: str) -> None:
    """Raise UserError for an unknown selection rule."""
    if rule not in RULES:
        raise UserError(f"unknown rule '{rule}'{did_you_mean(rule, RULES)}")


def shown_rules(rule: str, others: Sequence[str] = DEFAULT_RULES) -> list[str]:
    """Rules that have a column of their own, in the order of RULES.

    Args:
        rule: the declared selection rule.
        others: rules besides it, "last" and "oracle".

    Raises:
        UserError: an unknown rule.
    """
    for name in (rule, *others):
        check_rule(name)
    return [name for name in RULES if name in (LAST, rule, ORACLE, *others)]
