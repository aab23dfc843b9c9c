"""The command `da-bench`: choose a command, run it, and turn its outcome into an exit code."""

import importlib
import importlib.metadata
import os
import signal
import sys
from collections.abc import Sequence

from da_bench.cli.parse import Words, print_commands, take

DESCRIPTION = """Domain adaptation benchmarks in JAX.

Every run leaves a record, and a recorded run is not repeated. `da-bench COMMAND --help` explains a command;
`da-bench --version` prints the version.

Examples:
  $ da-bench list methods
  $ da-bench run dann --task moons/35 --seeds 5 --weight 0.5
  $ da-bench run experiments/quickstart.py
  $ da-bench table --rule im --format markdown
"""

# Name: what it does. The module of that name is imported when the command is chosen, so that --help is quick.
COMMANDS = {
    "run": "Run a method on a task, a file of experiments, or the config of a record.",
    "search": "Search hyper-parameters of methods and of source only with the same budget for each.",
    "table": "Print tables of the records in a results folder.",
    "plot": "Write plots of the records in a results folder.",
    "reproduce": "Reproduce a paper's table and write its numbers beside those of this suite.",
    "list": "List methods, tasks, models or validators.",
    "check": "Check a method against everything that every method must satisfy.",
    "new-method": "Write a file with a working method, ready to be changed into another.",
    "submit": "Pack runs as a submission of predictions, or check a submission.",
    "leaderboard": "Build the static leaderboard site.",
    "data": "List, check, prepare and preview data sets.",
    "weights": "Import, list and verify pretrained weights.",
    "rank": "Rank imported weights for a pair of domains before training.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: words of the command line without the program's name; default: those of this process.

    Returns:
        Exit code. 0: done. 1: a method fails a check, a submission is refused, or a number of a quick reproduction
        leaves its interval. 2: the command line, a file or the data are wrong. 74: a folder cannot be written to.
        75: another process is making the runs. 128 and more: stopped by a signal; what was reached is saved.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of the output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards what is left in the buffer
        return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    """Run the chosen command; report a mistake or an interrupt in one line."""
    if not words or words[0] in ("-h", "--help"):
        print_commands(COMMANDS, "da-bench", DESCRIPTION)
        return 0 if words else 2
    if words[0] == "--version":
        print(importlib.metadata.version("da-bench"))
        return 0
    from da_bench.core.config import UserError

    try:
        name, rest = take(COMMANDS, Words("da-bench", words))
        importlib.import_module(f"da_bench.cli.{name.replace('-', '_')}").main(rest)
        sys.stdout.flush()
    except SystemExit as stop:
        if stop.code:
            raise
        return 0  # help was printed
    except UserError as error:
        print(f"da-bench: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt as interrupt:
        print("da-bench: stopped; run the same command again to continue from what is saved", file=sys.stderr)
        return 128 + getattr(interrupt, "signal", signal.SIGINT)
    return 0
