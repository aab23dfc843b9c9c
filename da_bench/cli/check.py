"""`da-bench check`: a method against everything that every method must satisfy."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import jax
from tyro.conf import Positional

from da_bench.cli.parse import Words, read, take_method
from da_bench.core.config import UserError
from da_bench.core.user_files import run_file
from da_bench.methods import METHODS, load_plugins


class CheckError(UserError):
    """A method fails a check."""

    code = 1


@dataclasses.dataclass(frozen=True)
class Check:
    """Run the conformance suite on methods; exit code 1 if a check fails.

    One line a check: ok; FAIL, with the reason; known, a failure that the method declares, with its reason; skip.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench check my_method.py
  $ da-bench check dann coral --only takes_a_step refuses_bad_fields"""

    methods: Positional[tuple[str, ...]] = ()
    """Files that register methods, or names of registered methods; default: all registered methods."""
    only: tuple[str, ...] = ()
    """Only these checks, by the names that the command prints."""
    json: bool = False
    """Print a line of JSON a check."""

    def run(self) -> None:
        """Print the outcome of every check.

        Raises:
            CheckError: some fail.
        """
        jax.config.update("jax_num_cpu_devices", max(4, len(os.sched_getaffinity(0))))
        load_plugins()
        failures = [name for cls in _classes(self.methods) for name in self._failures(cls)]
        if failures:
            fail = "check fails" if len(failures) == 1 else "checks fail"
            raise CheckError(f"{len(failures)} {fail}: {', '.join(failures)}")

    def _failures(self, cls: Any) -> list[str]:
        """Print the outcome of each check of one method; return METHOD/CHECK of those that fail."""
        from da_bench.testing import format_result, results

        failures = []
        outcomes = results(cls, self.only)  # raises for unknown checks, before anything is printed
        if not self.json:
            print(f"{cls.name}:")
        for result in outcomes:
            facts = {"method": cls.name, **result._asdict()}
            print(json.dumps(facts) if self.json else f"  {format_result(result)}", flush=True)
            if not result.ok:
                failures.append(f"{cls.name}/{result.check}")
        return failures


def _classes(methods: tuple[str, ...]) -> list[Any]:
    """The methods of the given files and names; all registered methods if nothing is given."""
    if not methods:
        return list(METHODS.values())
    classes = []
    for name in methods:
        classes += _registered_by(Path(name)) if name.endswith(".py") else [take_method(name, "da-bench check")]
    return classes


def _registered_by(path: Path) -> list[Any]:
    """The methods that a file registers.

    Raises:
        UserError: no such file, it cannot be loaded, or it registers none.
    """
    before = set(METHODS)
    run_file(path)
    if not set(METHODS) - before:
        raise UserError(f"{path} registers no method: put @register of da_bench.methods above its class")
    return [cls for name, cls in METHODS.items() if name not in before]


def main(words: Words) -> None:
    """Check the methods that are named."""
    read(Check, words).run()
