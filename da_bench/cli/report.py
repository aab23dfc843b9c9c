"""Options of the commands that report the records of a results folder."""

import dataclasses
from pathlib import Path

from da_bench.core.config import UserError
from da_bench.studies.archive import records_in
from da_bench.studies.records import Record


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Which records to report, and by which rule."""

    results: Path = Path("results")
    """Folder whose runs/ holds the records, or the folder of a study with its records.jsonl.xz."""
    also: tuple[Path, ...] = ()
    """More such folders, whose records are reported together with these."""
    task: str | None = None
    """Only the records of this task."""
    rule: str = "last"
    """Selection rule that the report declares: last, oracle, or one of `da-bench list validators`."""

    def records(self) -> list[Record]:
        """The records.

        Raises:
            UserError: there are none.
        """
        records = [record for folder in (self.results, *self.also) for record in records_in(folder)]
        chosen = [record for record in records if self.task in (None, record.config["task"])]
        if not chosen:
            of_task = f" of task '{self.task}'" if self.task else ""
            raise UserError(f"no records{of_task} in {self.results / 'runs'}; make some with `da-bench run`")
        return chosen
