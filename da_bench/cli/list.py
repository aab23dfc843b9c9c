"""`da-bench list`: methods, tasks, models or validators."""

import dataclasses
import json
from typing import Any, ClassVar, Literal

from tyro.conf import Positional

from da_bench import methods, models
from da_bench.cli.parse import Words, read
from da_bench.core.config import as_dict
from da_bench.data import tasks
from da_bench.evaluation.validators import VALIDATORS


@dataclasses.dataclass(frozen=True)
class List:
    """List what there is to run, with one line on each."""

    EXAMPLES: ClassVar[str] = """  $ da-bench list methods
  $ da-bench list tasks --json"""

    kind: Positional[Literal["methods", "tasks", "models", "validators"]]
    """What to list."""
    json: bool = False
    """Print the name, summary and fields of each as JSON."""

    def run(self) -> None:
        """Print the list."""
        entries = ENTRIES[self.kind]()
        if self.json:
            print(json.dumps(entries, indent=1))
            return
        width = max(len(entry["name"]) for entry in entries)
        for entry in entries:
            print(f"{entry['name']:{width}}  {entry['summary']}")


def _methods() -> list[dict[str, Any]]:
    methods.load_plugins()
    return [
        {"name": name, "summary": _summary(cls), "fields": as_dict(cls()), "searched": _search_space(cls)}
        for name, cls in methods.METHODS.items()
    ]


def _search_space(cls: Any) -> dict[str, str]:
    """Distributions of the searched fields as text; a classical method has none."""
    return {field: str(space) for field, space in cls.metadata.search.items()}


def _tasks() -> list[dict[str, Any]]:
    return [_task(name) for name in tasks.names()]


def _task(name: str) -> dict[str, Any]:
    spec = tasks.spec(name)
    facts = {key: getattr(spec, key) for key in ("protocol", "model", "citation")}
    return {"name": name, "summary": f"{spec.source} -> {spec.target}", "present": tasks.present(name), **facts}


def _models() -> list[dict[str, Any]]:
    return [
        {"name": name, "summary": _summary(cls), "fields": models.describe(cls())}
        for name, cls in models.MODELS.items()
    ]


def _validators() -> list[dict[str, Any]]:
    return [{"name": name, "summary": _summary(validator.score)} for name, validator in VALIDATORS.items()]


ENTRIES = {"methods": _methods, "tasks": _tasks, "models": _models, "validators": _validators}


def _summary(documented: Any) -> str:
    return (documented.__doc__ or "").strip().splitlines()[0]


def main(words: Words) -> None:
    """Print the list of one kind."""
    read(List, words).run()
