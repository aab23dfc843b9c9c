"""Command lines read by tyro, with this program's style of errors: one line that says what to do.

tyro prints a box and ends the process. Here every mistake is a UserError, and only the parser of the chosen
command is built: one of all commands and all methods would take seconds.
"""

import contextlib
import difflib
import inspect
import io
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tyro


class Words(NamedTuple):
    """The part of a command line that is not yet read.

    Attributes:
        program: the words before, such as "da-bench data".
        rest: the words to read.
    """

    program: str
    rest: list[str]

    @property
    def ask_help(self) -> bool:
        """Whether the next word asks for help."""
        return self.rest[:1] in (["-h"], ["--help"])


MARKERS = (tyro.conf.PositionalMetavarFromFieldName,)

# What tyro says, and how to say it in terms of the command line.
REWORDED = (
    (r"^Error parsing (\S+): (.*)", r"\1: \2"),
    (r"^\S+: (\w+\.\w+ = )", r"\1"),  # of our own checks, which name the field
    (r"invalid literal for int\(\) with base 10: ('.*')", r"\1 is not a whole number"),
    (r"could not convert string to float: ('.*')", r"\1 is not a number"),
    (r"no type matching (.*) could be instantiated from \[(.*)\]\.?", r"\2 is not \1"),
    (r"^Missing value for argument '(.*)'\. Expected 1 values\.", r"\1 needs a value"),
    (r"^Missing value for argument '(.*)'\. Expected (\d+) values\.", r"\1 needs \2 values"),
)


def take(commands: Mapping[str, Any], words: Words) -> tuple[str, Words]:
    """Take the name of a command from the front of a command line.

    Args:
        commands: the known names.
        words: a command line that is not empty.

    Returns:
        The name, and the words after it.

    Raises:
        UserError: unknown name.
    """
    from da_bench.core.config import UserError, did_you_mean

    name = words.rest[0]
    if name not in commands:
        raise UserError(f"unknown command '{words.program} {name}'{did_you_mean(name, commands)}")
    return name, Words(f"{words.program} {name}", words.rest[1:])


def take_method(name: str, program: str) -> Any:
    """Return the class of a registered method.

    Args:
        name: name of the method.
        program: the words before it, such as "da-bench run".

    Raises:
        UserError: unknown name. If it is that of a file in the working folder, the message says how to name the file.
    """
    from da_bench.core.config import UserError
    from da_bench.methods import METHODS

    if name not in METHODS and Path(f"{name}.py").is_file():
        raise UserError(f"unknown method '{name}'; for the file write `{program} {name}.py`")
    return METHODS[name]


def count(number: int, singular: str) -> str:
    """Write a number with its noun: "1 record", "7 records"."""
    return f"{number} {singular}" + ("" if number == 1 else "s")


def run_group(commands: Mapping[str, Callable[..., Any]], words: Words, description: str) -> None:
    """Run one of a group of commands, such as `da-bench data list`; print the group's help where none is named.

    Args:
        commands: dataclass of options by name; its `run` does the work.
        words: the words after the group's name.
        description: text above the list of commands in the help.
    """
    if not words.rest or words.ask_help:
        summaries = {name: (command.__doc__ or "").splitlines()[0] for name, command in commands.items()}
        print_commands(summaries, words.program, description)
        return
    name, rest = take(commands, words)
    read(commands[name], rest).run()


def print_commands(summaries: Mapping[str, str], program: str, description: str) -> None:
    """Print the help of a group of commands.

    Args:
        summaries: one line for each command, by name.
        program: the words before the command.
        description: text above the list.
    """

    def stub(summary: str) -> Callable[[], None]:
        def command() -> None: ...

        command.__doc__ = summary
        return command

    stubs: dict[str, Callable[..., Any]] = {name: stub(summary) for name, summary in summaries.items()}
    with contextlib.suppress(SystemExit):
        tyro.extras.subcommand_cli_from_dict(stubs, prog=program, description=description, args=["--help"])


def read(command: Any, words: Words) -> Any:
    """Read the options of a command.

    Args:
        command: dataclass whose fields are the options.
        words: the words after the command's name.

    Returns:
        An instance of `command`.

    Raises:
        UserError: an unknown, missing or malformed option.
        SystemExit: with code 0, after printing help.
    """
    printed = io.StringIO()
    quiet = contextlib.nullcontext() if {"-h", "--help"} & set(words.rest) else contextlib.redirect_stdout(printed)
    try:
        with quiet, contextlib.redirect_stderr(printed):  # without a terminal, tyro prints no frames and colours
            options, unknown = tyro.cli(command, **_arguments(command, words), return_unknown_args=True)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise _error(_message(printed.getvalue()), words) from None
    if unknown:
        raise _error(_unknown(unknown[0], command, words), words)
    return options


def _error(message: str, words: Words) -> Exception:
    from da_bench.core.config import UserError

    return UserError(f"{message}{' See' if message.endswith('?') else '; see'} `{words.program} --help`")


def _arguments(command: Any, words: Words) -> dict[str, Any]:
    """Arguments of tyro.cli; the description keeps the examples, which tyro leaves out of a docstring."""
    examples = getattr(command, "EXAMPLES", "")
    description = f"{inspect.cleandoc(command.__doc__)}\n\nExamples:\n{examples}" if examples else None
    return {"args": words.rest, "prog": words.program, "description": description, "config": MARKERS}


def _message(box: str) -> str:
    """The first paragraph of tyro's report, a title over a rule and indented lines, as one line."""
    from da_bench.core.config import did_you_mean

    title, _, *lines = box.splitlines()
    paragraph = list(itertools.takewhile(lambda line: line.strip(" -"), lines))  # up to a rule or an empty line
    if title.strip() == "Required options":  # the names are indented by six, their help by more
        return "missing: " + ", ".join(line.strip() for line in paragraph if re.match(r" {6}\S", line))
    text = re.sub(r" +(?=[.,])", "", " ".join(line.strip() for line in paragraph))  # as if tyro had not wrapped it
    if wrong := re.match(r"invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*)\)\.", text):
        value, option, choices = wrong.groups()
        known = re.findall(r"'([^']*)'", choices)
        return f"{option}: unknown value '{value}'{did_you_mean(value, known)}"
    for pattern, replacement in REWORDED:
        text = re.sub(pattern, replacement, text)
    return text.rstrip(".")


def _unknown(word: str, command: Any, words: Words) -> str:
    """What is wrong with a word that no option takes, with the nearest option."""
    if not word.startswith("-"):
        return f"unexpected argument '{word}'"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tyro.cli(command, **_arguments(command, Words(words.program, ["--help"])))
    options = set(re.findall(r"--([a-z][\w.-]*)", printed.getvalue()))
    near = difflib.get_close_matches(word.partition("=")[0].lstrip("-"), options, n=1)
    hint = getattr(command, "OPTIONS_HINT", "")  # of a command whose options are fewer than one may expect
    return f"unknown option '{word}'{hint}" + "".join(f"; did you mean '--{option}'?" for option in near)
