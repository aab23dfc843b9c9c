"""The command line: `main` chooses a command, and each command is a module of its own.

A command is a frozen dataclass whose fields are its options and whose `run` does the work.
"""

from da_bench.cli.main import main

__all__ = ["main"]
