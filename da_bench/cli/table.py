"""`da-bench table`: tables of the records in a results folder."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from da_bench.cli.parse import Words, read
from da_bench.cli.report import ReportCommand
from da_bench.core.config import UserError
from da_bench.reporting.tables.costs import cost_tables
from da_bench.reporting.tables.published_tables import published_tables
from da_bench.reporting.tables.result_tables import result_tables, tables_over_pairs
from da_bench.reporting.tables.rules import shown_rules
from da_bench.reporting.tables.search_tables import search_tables
from da_bench.reporting.tables.selection_tables import selection_tables
from da_bench.reporting.tables.transferability import transferability_tables
from da_bench.reporting.tables.validators import validator_tables
from da_bench.reporting.tables.write import print_tables

Kind = Literal[
    "results",
    "pairs",
    "published",
    "validators",
    "validators-by-method",
    "selection",
    "transferability",
    "search",
    "cost",
]
Format = Literal["text", "markdown", "latex", "csv", "json"]


@dataclasses.dataclass(frozen=True)
class Table(ReportCommand):
    """Print tables of the records in a results folder."""

    EXAMPLES: ClassVar[str] = """  $ da-bench table --rule im --format markdown
  $ da-bench table --of pairs --results results/office31
  $ da-bench table --of validators --others snd dev"""

    of: Kind = "results"
    """results: methods of each pair. pairs: methods x pairs, with tests over pairs. published: published numbers beside
    those of the records. validators: how well each validator chose, also by method. selection: what each rule leaves of
    the gains. transferability: measures beside gains. search: what each rule chose in searches. cost: time, speed and
    memory."""
    others: tuple[str, ...] = ("im", "source_validation")
    """Selection rules with a column of their own, beside last, the declared rule and the oracle."""
    format: Format = "text"
    """How the tables are printed."""

    def run(self) -> None:
        """Print the tables."""
        shown_rules(self.rule, self.others)  # refuses unknown rules before records are read
        print_tables(self._tables(), self.format)

    def _tables(self) -> list[Any]:
        records, columns = self.records(), shown_rules(self.rule, self.others)
        tables: dict[str, Callable[[], list[Any]]] = {
            "results": lambda: result_tables(records, self.rule, self.others),
            "pairs": lambda: tables_over_pairs(records, self.rule, self.others),
            "published": lambda: published_tables(records, self.rule),
            "validators": lambda: validator_tables(records),
            "validators-by-method": lambda: validator_tables(records, by_method=True),
            "selection": lambda: selection_tables(records, columns, self.rule),
            "transferability": lambda: transferability_tables(records, self.rule),
            "search": lambda: _search_tables(records, columns),
            "cost": lambda: cost_tables(records),
        }
        return tables[self.of]()


def _search_tables(records: list[Any], columns: list[str]) -> list[Any]:
    tables = search_tables(records, columns)
    if not tables:
        raise UserError("no search in these records: no method has several learning rates; see `da-bench search`")
    return tables


def main(words: Words) -> None:
    """Print the tables that the options ask for."""
    read(Table, words).run()
