"""`da-bench check`: a method against everything that every method is held to."""

import dataclasses
import json
import os
import runpy
from pathlib import Path
from typing import Annotated, Any

import tyro

from da_bench.core.config import UserError


class CheckError(UserError):
    """A method fails a check."""

    code = 1


@dataclasses.dataclass(frozen=True)
class Check:
    """Hold methods to the conformance suite; exit code 1 where a check fails.

    A line a check: ok; FAIL, with what was found; known, a failure that the method declares, with its reason; skip.
    """

    what: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Files that register methods, my_method.py, or names of registered ones; default: all of them."""
    only: tuple[str, ...] = ()
    """Only these checks."""
    json: bool = False
    """A line of JSON a check, for programs."""


def check(arguments: list[str]) -> None:
    """`da-bench check`."""
    asked = tyro.cli(Check, args=arguments, prog="da-bench check")
    import jax

    jax.config.update("jax_num_cpu_devices", max(4, len(os.sched_getaffinity(0))))
    failures = [name for cls in _classes(asked.what) for name in _failures(cls, asked)]
    if failures:
        raise CheckError(f"{len(failures)} checks fail: {', '.join(failures)}")


def _failures(cls: Any, asked: Check) -> list[str]:
    from da_bench.testing import line, results

    failures = []
    if not asked.json:
        print(f"{cls.name}:")
    for one in results(cls, asked.only):
        print(json.dumps({"method": cls.name, **one._asdict()}) if asked.json else f"  {line(one)}", flush=True)
        failures += [] if one.ok else [f"{cls.name}/{one.check}"]
    return failures


def _classes(what: tuple[str, ...]) -> list[Any]:
    """The methods that files register, and those of the names that are given."""
    from da_bench.methods import METHODS, load_plugins

    load_plugins()
    if not what:
        return list(METHODS.values())
    return [cls for each in what for cls in (_registered_by(Path(each)) if each.endswith(".py") else [METHODS[each]])]


def _registered_by(path: Path) -> list[Any]:
    from da_bench.methods import METHODS

    if not path.is_file():
        raise UserError(f"no such file: {path}")
    before = set(METHODS)
    try:
        runpy.run_path(str(path))
    except (ImportError, SyntaxError) as error:
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not set(METHODS) - before:
        raise UserError(f"{path} registers no method: put @da.methods.register above its class")
    return [cls for name, cls in METHODS.items() if name not in before]
