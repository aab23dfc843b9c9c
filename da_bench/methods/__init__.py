"""Methods, one a file. Importing this room imports every file of the folder, so adding one touches one file."""

from importlib.metadata import entry_points

from da_bench.core.config import export_all
from da_bench.methods.base import METHODS, BatchNorm, ClassicalMethod, Method, Penalty, Trainer, register

__all__ = ["METHODS", "BatchNorm", "ClassicalMethod", "Method", "Penalty", "Trainer", "load_plugins", "register"]

export_all(__name__, METHODS)


def load_plugins() -> None:
    """Import every installed package that says, by an entry point "da_bench.methods", that it registers methods."""
    for entry in entry_points(group="da_bench.methods"):
        entry.load()
