"""Adaptation methods, one per file. Importing the package imports every file, so a new method is one new file.

A method's own file needs `from da_bench.methods import NonNegative, Penalty, register`, and little else.
"""

from importlib.metadata import entry_points

from da_bench.core.config import Count, Fraction, NonNegative, Positive, export_all, field
from da_bench.methods.base import (
    METHODS,
    ClassicalMethod,
    LossContext,
    Method,
    MethodMetadata,
    MethodSpec,
    MethodState,
    Penalty,
    register,
)
from da_bench.methods.search_space import LogUniform, Uniform
from da_bench.methods.trainer import BatchNorm, Metrics, Trainer

__all__ = [
    "METHODS",
    "BatchNorm",
    "ClassicalMethod",
    "Count",
    "Fraction",
    "LogUniform",
    "LossContext",
    "Method",
    "MethodMetadata",
    "MethodSpec",
    "MethodState",
    "Metrics",
    "NonNegative",
    "Penalty",
    "Positive",
    "Trainer",
    "Uniform",
    "field",
    "load_plugins",
    "register",
]

export_all(__name__, METHODS)


def load_plugins() -> None:
    """Import every installed package with an entry point in the group "da_bench.methods"."""
    for entry in entry_points(group="da_bench.methods"):
        entry.load()
