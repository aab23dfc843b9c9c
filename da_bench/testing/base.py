"""Checks and their outcomes."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from da_bench.core.config import first_line
from da_bench.methods import ClassicalMethod, Method, Penalty
from da_bench.testing.method_under_test import MethodUnderTest

Kind = Literal["any", "deep", "penalty", "classical"]
KINDS: dict[Kind, Any] = {
    "any": (Method, ClassicalMethod),
    "deep": Method,
    "penalty": Penalty,
    "classical": ClassicalMethod,
}
Outcome = Literal["passed", "failed", "known_failure", "unexpected_pass", "skipped"]


class CheckFailed(Exception):  # noqa: N818  (an outcome)
    """A check failed; the message says what was observed."""


class CheckSkipped(Exception):  # noqa: N818  (an outcome)
    """A check does not apply to the method; the message says why."""


def require(condition: Any, reason: str) -> None:
    """Fail the check with `reason` unless `condition` is true."""
    if not condition:
        raise CheckFailed(reason)


class Check(NamedTuple):
    """A property that methods must have.

    Args:
        name: of the function.
        kind: of methods that it applies to.
        fn: raises `CheckFailed` or `CheckSkipped`; may return a note to show with the outcome.
    """

    name: str
    kind: Kind
    fn: Callable[[MethodUnderTest], str | None]

    @property
    def summary(self) -> str:
        """The property, in one line."""
        return (self.fn.__doc__ or "").splitlines()[0]


CHECKS: dict[str, Check] = {}


def check(kind: Kind) -> Callable[[Callable[[MethodUnderTest], Any]], Callable[[MethodUnderTest], Any]]:
    """Register a function as the check of its name, for methods of one kind."""

    def add(fn: Callable[[MethodUnderTest], Any]) -> Callable[[MethodUnderTest], Any]:
        CHECKS[fn.__name__] = Check(fn.__name__, kind, fn)
        return fn

    return add


class CheckResult(NamedTuple):
    """The result of one check.

    Args:
        check: its name.
        outcome: "passed"; "failed"; "known_failure", which the method declares; "unexpected_pass", a declared failure
            that does not occur; or "skipped".
        reason: why it did not pass, or a note.
        seconds: how long it took.
    """

    check: str
    outcome: Outcome
    reason: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the method conforms as it declares."""
        return self.outcome not in ("failed", "unexpected_pass")


def checks_for(cls: type) -> list[Check]:
    """The checks for a class of methods, in order."""
    return [check for check in CHECKS.values() if issubclass(cls, KINDS[check.kind])]


def run_check(check: Check, under_test: MethodUnderTest) -> CheckResult:
    """Run one check. Any exception of the method counts as a failure."""
    start = time.perf_counter()
    outcome, reason = _outcome(check, under_test)
    return CheckResult(check.name, outcome, reason, time.perf_counter() - start)


def _outcome(check: Check, under_test: MethodUnderTest) -> tuple[Outcome, str]:
    declared = under_test.cls.metadata.expected_failures.get(check.name)
    try:
        note = check.fn(under_test)
    except CheckSkipped as skipped:
        return "skipped", str(skipped)
    except CheckFailed as failed:
        return ("known_failure", declared) if declared else ("failed", str(failed))
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        return ("known_failure", declared) if declared else ("failed", reason)
    if declared:
        return "unexpected_pass", f"declared as an expected failure ({declared}), but passes"
    return "passed", note or ""
