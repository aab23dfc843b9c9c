"""Conformance: what every method is held to, whoever wrote it. `da-bench check my_method.py` runs all of it.

    import da_bench as da
    da.check_method(MyMethod)  # prints a line a check; raises UserError where one fails

    @da.testing.parametrize([MyMethod])  # a test of pytest for each check
    def test_my_method(check):
        check()

A check that a method cannot pass for a good reason is declared with the method, and shown as such:
`@register(expected_failures={"order_within_a_batch_does_not_matter": "the linear estimate pairs neighbouring rows"})`.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from da_bench.core.config import UserError
from da_bench.testing import checks, shallow  # noqa: F401  (registers them)
from da_bench.testing.base import CHECKS, Check, Failed, Result, Skipped, judged, made_for, run
from da_bench.testing.subject import Subject

__all__ = ["CHECKS", "Failed", "Result", "Skipped", "Subject", "check_method", "parametrize", "results"]


def results(cls: Any, only: Iterable[str] = ()) -> Iterator[Result]:
    """The results of a method's checks, one after another; only: these, default all that are made for its kind.

    Raises:
        UserError: for a name that is no check's, or a check that the class declares as failing and does not exist.
    """
    wanted = list(only) or [one.name for one in made_for(cls)]
    for name in [*wanted, *cls.metadata.expected_failures]:
        if name not in CHECKS:
            raise UserError(f"there is no check '{name}'; there are: {', '.join(CHECKS)}")
    return iter(run(Subject(cls), [one for one in made_for(cls) if one.name in wanted]))


def check_method(method: Any, only: Iterable[str] = (), show: bool = True) -> list[Result]:
    """Run the checks of a method's class (or of the class of an instance), and return their results.

    Raises:
        UserError: a check fails; the message names all that do, with their reasons.
    """
    cls: Any = method if isinstance(method, type) else type(method)
    found = []
    for one in results(cls, only):
        found.append(one)
        if show:
            print(line(one))
    failures = [f"{one.check}: {one.reason}" for one in found if not one.ok]
    if failures:
        raise UserError(f"method '{cls.name}' fails {len(failures)} of {len(found)} checks: " + "; ".join(failures))
    return found


def line(one: Result) -> str:
    """A result for people."""
    sign = {"passed": "ok", "failed": "FAIL", "expected": "known", "unexpected": "FAIL", "skipped": "skip"}[one.outcome]
    return f"{sign:5} {one.check}" + (f": {one.reason}" if one.reason else "")


def parametrize(classes: Iterable[Any]) -> Callable[[Any], Any]:
    """A decorator that calls a pytest test with a function `check` for every check of every class."""
    import pytest

    cases = []
    for cls in classes:
        subject = Subject(cls)
        for one in made_for(cls):
            cases.append(pytest.param(functools.partial(_check, subject, one), id=f"{cls.name}-{one.name}"))
    return pytest.mark.parametrize("check", cases)


def _check(subject: Subject, one: Check) -> None:
    import pytest

    outcome, reason = judged(subject, one)
    if outcome in ("failed", "unexpected"):
        pytest.fail(f"{one.name}: {reason}", pytrace=False)
    if outcome == "skipped":
        pytest.skip(reason)
    if outcome == "expected":
        pytest.xfail(reason)
