"""Results: the records of a study, and how they are read."""

import dataclasses
from pathlib import Path

from da_bench.core.config import UserError
from da_bench.studies.records import Record


@dataclasses.dataclass(frozen=True)
class Results:
    """Records of a study.

    Attributes:
        records: in the order of the study's experiments.
        folder: results folder that holds them.
    """

    records: list[Record]
    folder: Path

    def table(self, rule: str = "last") -> None:
        """Print one table a task: every method by every selection rule, with gains by the declared rule.

        On a task with a hyper-parameter search, the table shows what each rule chose instead.

        Args:
            rule: "last", "oracle", or the name of a validator.
        """
        from da_bench.reporting import report

        report.print_tables(self.records, rule)

    def write(self, name: str, rule: str = "last") -> list[Path]:
        """Write the report of the study into `folder`/`name`.

        Tables (Markdown, LaTeX, CSV, JSON), plots (PNG, SVG) and the records without predictions.
        `da-bench table --results FOLDER/NAME` prints the tables again.

        Args:
            name: of the subfolder.
            rule: as in `table`.

        Returns:
            The paths of all files written.

        Raises:
            UserError: see `check_name`.
        """
        check_name(name)
        from da_bench.reporting import report

        return report.write_report(self.records, self.folder / name, rule)


def check_name(name: str) -> None:
    """Raise UserError if a report of this name would be written among the records."""
    if name in ("runs", "checkpoints"):
        raise UserError(f"'{name}' is where the results folder keeps its records; give the experiment another name")
