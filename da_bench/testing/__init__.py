"""Conformance checks for methods: what every method must satisfy. `da-bench check my_method.py` runs them all.

    import da_bench as da
    da.check_method(MyMethod)  # prints one line per check; raises UserError if one fails

    @da.testing.parametrize([MyMethod])  # one pytest test per check
    def test_my_method(check):
        check()

A check that a method cannot pass for a good reason is declared with the method, and shown as such:
`@register(expected_failures={"order_within_a_batch_does_not_matter": "the linear estimate pairs neighbouring rows"})`.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from da_bench.core.config import UserError
from da_bench.testing import checks  # noqa: F401  (registers them)
from da_bench.testing.base import CHECKS, Check, CheckFailed, CheckResult, CheckSkipped, checks_for, run_check
from da_bench.testing.method_under_test import MethodUnderTest

__all__ = [
    "CHECKS",
    "CheckFailed",
    "CheckResult",
    "CheckSkipped",
    "MethodUnderTest",
    "check_method",
    "checks_for",
    "format_result",
    "parametrize",
    "results",
    "run_check",
]


def results(cls: Any, only: Iterable[str] = ()) -> Iterator[CheckResult]:
    """Run the checks of a method class, and yield their results one by one.

    Args:
        cls: a registered method class.
        only: names of checks; default: all checks for this kind of method.

    Raises:
        UserError: a name in `only` or in the method's `expected_failures` is not a check.
    """
    selected = list(only) or [check.name for check in checks_for(cls)]
    for name in [*selected, *cls.metadata.expected_failures]:
        if name not in CHECKS:
            raise UserError(f"there is no check '{name}'; there are: {', '.join(CHECKS)}")
    under_test = MethodUnderTest(cls)
    return (run_check(check, under_test) for check in checks_for(cls) if check.name in selected)


def check_method(method: Any, only: Iterable[str] = (), show: bool = True) -> list[CheckResult]:
    """Run the checks of a method class, or of the class of a method, and return their results.

    Args:
        method: a method class or an instance.
        only: names of checks; default: all.
        show: whether to print one line per check.

    Raises:
        UserError: a check fails; the message names every failed check with its reason.
    """
    cls: Any = method if isinstance(method, type) else type(method)
    all_results = []
    for result in results(cls, only):
        all_results.append(result)
        if show:
            print(format_result(result))
    failures = [f"{result.check}: {result.reason}" for result in all_results if not result.ok]
    if failures:
        raise UserError(
            f"method '{cls.name}' fails {len(failures)} of {len(all_results)} checks: " + "; ".join(failures)
        )
    return all_results


def format_result(result: CheckResult) -> str:
    """One line for people: ok, FAIL, known (a declared failure) or skip, then the check and the reason."""
    labels = {
        "passed": "ok",
        "failed": "FAIL",
        "known_failure": "known",
        "unexpected_pass": "FAIL",
        "skipped": "skip",
    }
    return f"{labels[result.outcome]:5} {result.check}" + (f": {result.reason}" if result.reason else "")


def parametrize(classes: Iterable[Any]) -> Callable[[Any], Any]:
    """Decorate a pytest test that takes a function `check`: one test for every check of every class."""
    import pytest

    cases = []
    for cls in classes:
        under_test = MethodUnderTest(cls)
        for check in checks_for(cls):
            cases.append(
                pytest.param(functools.partial(_pytest_check, check, under_test), id=f"{cls.name}-{check.name}")
            )
    return pytest.mark.parametrize("check", cases)


def _pytest_check(check: Check, under_test: MethodUnderTest) -> None:
    import pytest

    result = run_check(check, under_test)
    if not result.ok:
        pytest.fail(f"{check.name}: {result.reason}", pytrace=False)
    if result.outcome == "skipped":
        pytest.skip(result.reason)
    if result.outcome == "known_failure":
        pytest.xfail(result.reason)
