"""`da-bench leaderboard`: the static site of all records and submissions."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, run_group
from da_bench.leaderboard.site.build import build, gather
from da_bench.reporting.tables.rules import check_rule

DESCRIPTION = """A static site of the records of results folders, and of submissions.

Every accuracy on it is computed from predictions.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """Write the site: pages that open from a disk, need no network and load nothing from elsewhere."""

    EXAMPLES: ClassVar[str] = """  $ da-bench leaderboard build --results results --out site
  $ da-bench leaderboard build --submissions submissions --verdicts verdicts"""

    results: tuple[Path, ...] = (Path("results"),)
    """Folders whose runs/ hold records."""
    submissions: Path | None = None
    """Folder of submissions, each a folder or a zip archive. Each is checked first; refused ones are left out."""
    verdicts: Path | None = None
    """Folder of files that `da-bench submit check --verdict` wrote; they say which runs were repeated and audited."""
    data_root: DataRoot = None
    rule: str = "last"
    """Selection rule that is shown first."""
    out: Path = Path("results/leaderboard")
    """Folder to write."""

    def run(self) -> None:
        """Write the pages and name the submissions that are left out."""
        check_rule(self.rule)
        gathered = gather(self.results, self.submissions, self.verdicts, self.data_root)
        for reason in gathered.left_out:
            print(f"left out: {reason}")
        written = build(gathered, self.out, self.rule)
        print(f"{len(written)} files in {self.out}; open {self.out / 'index.html'}")


def main(words: Words) -> None:
    """Run `da-bench leaderboard build`, its only command."""
    run_group({"build": Build}, words, DESCRIPTION)
