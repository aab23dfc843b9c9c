"""Which checkpoint is reported: label-free validators, the last step, and the oracle that cheats.

Many published numbers pick the checkpoint by target accuracy. Here a rule is declared and named, and every table
shows `last`, the declared rule and `oracle` side by side. Importing this room imports every file of the folder: a
validator is a function under `@register` in one of them.
"""

import importlib
import pkgutil

from da_bench.evaluation.validators.base import (
    ROWS,
    VALIDATORS,
    Evidence,
    Features,
    Validator,
    accuracies,
    register,
    softmax,
)
from da_bench.evaluation.validators.rules import LAST, ORACLE, checkpoints, latest_best, scores, titles

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")

RULES = titles()

__all__ = [
    "LAST",
    "ORACLE",
    "ROWS",
    "RULES",
    "VALIDATORS",
    "Evidence",
    "Features",
    "Validator",
    "accuracies",
    "checkpoints",
    "latest_best",
    "register",
    "scores",
    "softmax",
]
