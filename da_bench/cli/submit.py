"""`da-bench submit`: pack runs as a submission of predictions, or check a submission."""

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import ClassVar

from tyro.conf import Positional

from da_bench.cli import devices
from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, run_group
from da_bench.core.config import UserError
from da_bench.core.storage import write_atomic
from da_bench.core.strict_json import StrictError
from da_bench.core.user_files import run_file
from da_bench.leaderboard.submission.check import Report, audit_methods, check_submission, rerun_sample
from da_bench.leaderboard.submission.reader import read_submission
from da_bench.leaderboard.submission.verdict import as_json, report_lines
from da_bench.leaderboard.submission.writer import finished_runs, pack

DESCRIPTION = """Submissions to the leaderboard: predictions and their provenance, never numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pack:
    """Pack finished runs: predictions, configs, environments and their hashes."""

    EXAMPLES: ClassVar[str] = (
        """  $ da-bench submit pack --name "My method" --authors "A. Author" --methods my_method --out mine.zip"""
    )

    name: str
    """Name on the leaderboard: letters, digits, space and ._+()-, at most 60 characters."""
    authors: tuple[str, ...]
    """Who submits it."""
    results: Path = Path("results")
    """Folder whose runs/ holds the records."""
    methods: tuple[str, ...] = ()
    """Only the runs of these methods; default: all. The upper bound is never packed."""
    rule: str = "last"
    """Selection rule that the comparison declares: last, or one of `da-bench list validators`."""
    link: str | None = None
    """Page with more information: https://..."""
    citation: Path | None = None
    """File of BibTeX entries."""
    code: Path | None = None
    """File that registers the method, if it is not part of da_bench."""
    out: Path = Path("submission.zip")
    """A zip archive, or a folder if the name does not end in .zip."""

    def run(self) -> None:
        """Write the submission."""
        citation = _read_text(self.citation) if self.citation else ""
        if self.code:
            _read_text(self.code)  # refuses a file that cannot be read before the runs are packed
        about = {
            "name": self.name,
            "authors": list(self.authors),
            "link": self.link,
            "rule": self.rule,
            "citation": citation,
        }
        packed = pack(self.results, self.out, about, self.methods, self.code)
        print(f"{self.out}: {len(packed.runs)} runs; check it with `da-bench submit check {self.out}`")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """Check a submission: read it strictly and compute its numbers again; exit code 1 if it is refused.

    False statements are refused, improbable ones flagged, and those that cannot be verified noted. No code of a
    submission runs without --rerun, --audit or --run-code.
    """

    EXAMPLES: ClassVar[str] = """  $ da-bench submit check mine.zip --against results
  $ da-bench submit check mine.zip --rerun 1 --audit --verdict verdicts/mine.json"""

    submission: Positional[Path]
    """The folder or zip archive."""
    against: tuple[Path, ...] = ()
    """Results folders to compare it with: copies, upper bounds, errors in unlikely places."""
    data_root: DataRoot = None
    rerun: int = 0
    """Number of its runs, drawn at random, to repeat, each with the other seeds of its setting."""
    audit: bool = False
    """Check that target labels cannot reach its methods."""
    run_code: bool = False
    """Load the code of the submission. It can do everything that you can: read it first, or use a throwaway machine."""
    verdict: Path | None = None
    """Write the findings to this file, for `da-bench leaderboard build --verdicts`."""
    json: bool = False
    """Print the findings as a line of JSON."""

    def run(self) -> None:
        """Print the findings.

        Raises:
            StrictError: the submission is refused.
        """
        if self.rerun:
            devices.set_up()
        others = [run for folder in self.against for run in finished_runs(folder)]
        if self.run_code:
            _load_code(self.submission)
        report = check_submission(self.submission, others, self.data_root)
        if report.verdict != "refused" and self.rerun:
            report = rerun_sample(report, self.rerun, self.data_root)
        if report.verdict != "refused" and self.audit:
            report = audit_methods(report)
        self._show(report)

    def _show(self, report: Report) -> None:
        if self.verdict is not None:
            write_atomic(self.verdict, as_json(report))
        print(as_json(report) if self.json else "\n".join(report_lines(report)))
        sys.stdout.flush()
        if report.verdict == "refused":
            raise StrictError(f"{self.submission} is refused")


def _load_code(submission: Path) -> None:
    """Run the files in code/ of a submission, from copies in a temporary folder."""
    for name, content in read_submission(submission).code.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            run_file(path)


def main(words: Words) -> None:
    """Run `da-bench submit pack` or `da-bench submit check`."""
    run_group({"pack": Pack, "check": Check}, words, DESCRIPTION)
