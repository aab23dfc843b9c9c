"""`da-bench run`: a method on a task, a file of experiments, or the config of a record."""

import contextlib
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tyro.conf import OmitArgPrefixes, Positional

from da_bench.cli import devices
from da_bench.cli.options import ExperimentCommand, StudyCommand, StudyOptions
from da_bench.cli.parse import Words, count, read, take_method
from da_bench.core.config import UserError
from da_bench.core.distributed import is_primary
from da_bench.methods import METHODS, load_plugins
from da_bench.studies.experiment_files import from_file
from da_bench.studies.results import Results, check_name
from da_bench.studies.study import run as run_seeds
from da_bench.studies.study import study

FILES = (".py", ".json")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFile(StudyCommand):
    """Run the EXPERIMENTS of a file, or repeat the run of a record from its config.json.

    Runs on record are not repeated; interrupted runs continue from their checkpoints. A .py file without --shard also
    leaves its tables and plots in RESULTS/NAME.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench run experiments/quickstart.py
  $ da-bench run experiments/office31.py --data-root ~/data --shard 2/8
  $ da-bench run results/runs/0123456789abcdef/config.json --results again"""
    OPTIONS_HINT: ClassVar[str] = ": a .py file takes its settings from its EXPERIMENTS"

    def run(self, path: Path) -> None:
        """Make the missing runs of a file, then print and write the tables."""
        self.set_up_devices()
        check_name(path.stem)
        results = study(from_file(path), self.options())
        complete = path.suffix == ".py" and self.study.shard == "1/1" and is_primary()
        show(results, self, results.write(path.stem, self.rule) if complete else [])


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunMethod(ExperimentCommand):
    """Run one method; `method_command` makes a subclass with the method's fields as options."""

    method: Any

    def run(self) -> None:
        """Make the missing runs and print the tables."""
        show(run_seeds(self.method, self.task, self.seeds, self.options(), **self.settings()), self)


@dataclasses.dataclass(frozen=True)
class Run:
    """Run a method on a task, a file of experiments, or the config of a record.

    WHAT is the name of a method, a .py file that defines EXPERIMENTS, or the config.json of a record. The options
    depend on it: `da-bench run dann --help` lists those of dann, `da-bench run FILE.py --help` those of a file.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench run dann --task moons/35 --seeds 5 --weight 0.5
  $ da-bench run experiments/quickstart.py
  $ da-bench run results/runs/0123456789abcdef/config.json"""

    what: Positional[str]
    """Method or file."""


def main(words: Words) -> None:
    """Run a method or a file, with a parser of its options alone."""
    if not words.rest or words.ask_help:
        _print_help(words.program)
        return
    what = words.rest[0]
    program, words = words.program, Words(f"{words.program} {what}", words.rest[1:])
    if what.startswith("-"):
        raise UserError(f"name a method or a file before '{what}': da-bench run METHOD --task TASK")
    if what.endswith(FILES):
        read(RunFile, words).run(Path(what))
        return
    isolate = not {"--isolate", "ray", "--executor=ray"}.isdisjoint(words.rest)
    devices.set_up(isolate, "--distributed" in words.rest)  # before plug-ins are imported, which may use JAX
    load_plugins()
    read(method_command(take_method(what, program)), words).run()


def _print_help(program: str) -> None:
    with contextlib.suppress(SystemExit):
        read(Run, Words(program, ["--help"]))
    load_plugins()
    print(textwrap.fill("methods: " + ", ".join(METHODS), 80))


def method_command(cls: Any) -> Any:
    """The command of one method: `RunMethod` with the method's fields as options.

    Args:
        cls: a registered method.

    Returns:
        A dataclass whose field `method` is read from the options without a prefix.

    Raises:
        UserError: a field has the name of an option of `da-bench run`.
    """
    taken = {field.name for part in (RunMethod, StudyOptions) for field in dataclasses.fields(part)}
    for field in dataclasses.fields(cls):
        if field.name in taken:
            raise UserError(f"{cls.__name__}.{field.name}: `da-bench run` has an option of this name; rename the field")
    method = ("method", Annotated[cls, OmitArgPrefixes], dataclasses.field(default_factory=cls))
    command = dataclasses.make_dataclass("RunMethod", [method], bases=(RunMethod,), frozen=True, kw_only=True)
    command.__doc__ = f"Run {cls.name}: {inspect.getdoc(cls)}".partition("\n")[0]
    return command


def show(results: Results, command: StudyCommand, written: Sequence[Path] = ()) -> None:
    """Print the tables of a study and name the files that were written.

    Args:
        results: the records of the study.
        command: decides the form: tables, JSON lines or nothing.
        written: paths of tables and plots.
    """
    if command.json:
        records = [{"id": record.id, "status": record.result["status"]} for record in results.records]
        print(json.dumps({"event": "done", "records": records, "written": [str(path) for path in written]}))
        return
    if command.quiet or not is_primary():
        return
    results.table(command.rule)
    if written:
        print("\nwritten:", *written, sep="\n  ")
    print(f"\n{count(len(results.records), 'record')} in {command.study.results / 'runs'}")
