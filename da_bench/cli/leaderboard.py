"""`da-bench leaderboard`: the static site of all records and submissions."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from da_bench.cli.options import DataRoot
from da_bench.cli.parse import Words, run_group
from da_bench.core.strict_json import StrictError
from da_bench.leaderboard.site.build import build, gather
from da_bench.leaderboard.site.check import problems
from da_bench.reporting.tables.rules import check_rule

DESCRIPTION = """A static site of the records of results folders, and of submissions.

Numbers are recomputed from predictions where these are stored; badges say what was checked.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """Write the site: pages that open from a disk, need no network and load nothing from elsewhere."""

    EXAMPLES: ClassVar[str] = """  $ da-bench leaderboard build --results results --out site
  $ da-bench leaderboard build --submissions submissions --verdicts verdicts"""

    results: tuple[Path, ...] = (Path("results"),)
    """Results folders with runs/, or study folders with an archive of records."""
    submissions: Path | None = None
    """Folder of submissions, each a folder or a zip archive. Each is checked first; refused ones are left out."""
    verdicts: Path | None = None
    """Folder of files that `da-bench submit check --verdict` wrote; they say which runs were repeated and audited."""
    data_root: DataRoot = None
    rule: str = "last"
    """Selection rule that is shown first."""
    out: Path = Path("results/leaderboard")
    """Folder to write."""
    check: bool = False
    """Read the written site back; exit code 1 if a page is malformed or a link leads nowhere."""

    def run(self) -> None:
        """Write the pages and name the submissions that are left out.

        Raises:
            StrictError: with `check`, if something is wrong with the site.
        """
        check_rule(self.rule)
        gathered = gather(self.results, self.submissions, self.verdicts, self.data_root)
        for reason in gathered.left_out:
            print(f"left out: {reason}")
        written = build(gathered, self.out, self.rule)
        print(f"{len(written)} files in {self.out}; open {self.out / 'index.html'}")
        if self.check and (wrong := problems(self.out)):
            raise StrictError(f"{self.out}: {len(wrong)} problems, the first: {wrong[0]}")


def main(words: Words) -> None:
    """Run `da-bench leaderboard build`, its only command."""
    run_group({"build": Build}, words, DESCRIPTION)
