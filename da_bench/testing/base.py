"""What a check is, and what comes of it."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from da_bench.core.config import first_line
from da_bench.methods import ClassicalMethod, Method, Penalty
from da_bench.testing.subject import Subject

Kind = Literal["any", "deep", "penalty", "shallow"]
KINDS: dict[Kind, Any] = {
    "any": (Method, ClassicalMethod),
    "deep": Method,
    "penalty": Penalty,
    "shallow": ClassicalMethod,
}
Outcome = Literal["passed", "failed", "expected", "unexpected", "skipped"]


class Failed(Exception):  # noqa: N818  (an outcome)
    """What a check found, in a sentence."""


class Skipped(Exception):  # noqa: N818
    """Why a check says nothing of this method."""


def need(holds: Any, reason: str) -> None:
    """Fail where something does not hold."""
    if not holds:
        raise Failed(reason)


class Check(NamedTuple):
    """name; kind: of methods that it is for; fn: raises `Failed` or `Skipped`."""

    name: str
    kind: Kind
    fn: Callable[[Subject], None]

    @property
    def holds(self) -> str:
        """What it holds a method to."""
        return (self.fn.__doc__ or "").splitlines()[0]


CHECKS: dict[str, Check] = {}


def check(kind: Kind) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Register a function as the check of its name, for methods of one kind."""

    def add(fn: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS[fn.__name__] = Check(fn.__name__, kind, fn)
        return fn

    return add


class Result(NamedTuple):
    """Of one check. outcome: "expected" is a failure that the method declares, "unexpected" one that it declares and
    that does not occur; reason: of all but "passed".
    """

    check: str
    outcome: Outcome
    reason: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is to be done."""
        return self.outcome not in ("failed", "unexpected")


def made_for(cls: type) -> list[Check]:
    """The checks for a class of methods, in order."""
    return [one for one in CHECKS.values() if issubclass(cls, KINDS[one.kind])]


def run(subject: Subject, checks: Iterable[Check]) -> Iterable[Result]:
    """Their results, one after another."""
    for one in checks:
        start = time.perf_counter()
        outcome, reason = judged(subject, one)
        yield Result(one.name, outcome, reason, time.perf_counter() - start)


def judged(subject: Subject, one: Check) -> tuple[Outcome, str]:
    """Outcome and reason of one check."""
    declared = subject.cls.metadata.expected_failures.get(one.name)
    try:
        one.fn(subject)
    except Skipped as skipped:
        return "skipped", str(skipped)
    except Failed as failed:
        return ("expected", declared) if declared else ("failed", str(failed))
    except Exception as error:  # of the method: whatever it raises where it should not
        return ("expected", declared) if declared else ("failed", f"{type(error).__name__}: {first_line(error)}")
    return ("unexpected", f"declared as failing ({declared}), and passes") if declared else ("passed", "")
