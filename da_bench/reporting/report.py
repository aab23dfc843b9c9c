"""The report of a study: what `Results.table` prints and `Results.write` writes."""

from collections.abc import Sequence
from pathlib import Path

from da_bench.core.storage import write_atomic
from da_bench.reporting.plots.write import write_plots
from da_bench.reporting.tables import write
from da_bench.reporting.tables.result_tables import result_tables
from da_bench.reporting.tables.rules import shown_rules
from da_bench.reporting.tables.search_tables import search_tables
from da_bench.studies import archive
from da_bench.studies.records import Record


def print_tables(records: Sequence[Record], rule: str) -> None:
    """Print one table per task: the choice of each rule after a search, otherwise the results.

    Args:
        records: of a study.
        rule: the declared selection rule.
    """
    write.print_tables(search_tables(records, shown_rules(rule)) or result_tables(records, rule))


def write_report(records: Sequence[Record], folder: Path, rule: str) -> list[Path]:
    """Write the archive of records, tables and plots into `folder`.

    Args:
        records: of a study.
        folder: created if needed.
        rule: the declared selection rule.

    Returns:
        The paths of all files written.
    """
    return [
        write_atomic(folder / archive.NAME, archive.pack(records, rule)),
        *write.write_tables(records, folder, rule),
        *write_plots(records, folder, rule),
    ]
