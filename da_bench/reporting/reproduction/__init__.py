"""Reproductions of papers: files of experiments that declare what a paper reports, run and compared by one command.

Such a file defines EXPERIMENTS and PAPER, a `Paper`. It may define QUICK, a `Quick`, for a check of minutes, and a
function figures(results, records, data_root) that returns figures by name.
"""

from da_bench.reporting.reproduction.card import Card, build_card
from da_bench.reporting.reproduction.declared import Reproduction, find, names
from da_bench.reporting.reproduction.paper import Paper, Quick, printed
from da_bench.reporting.reproduction.run import (
    ReproduceError,
    options_for,
    remake_card,
    run_quick_check,
    write_card,
    write_reproduction,
)

__all__ = [
    "Card",
    "Paper",
    "Quick",
    "ReproduceError",
    "Reproduction",
    "build_card",
    "find",
    "names",
    "options_for",
    "printed",
    "remake_card",
    "run_quick_check",
    "write_card",
    "write_reproduction",
]
