"""`da-bench leaderboard`: the static site of all that is on record."""

import dataclasses
from pathlib import Path

import tyro

from da_bench.core.config import UserError, did_you_mean

HELP = """usage: da-bench leaderboard build [OPTIONS]

A static site of the records of results folders, and of submissions, from numbers computed from their predictions.

da-bench leaderboard build --help says more.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build:
    """Write the site: pages that open from a disk, need no network, and load nothing from elsewhere."""

    results: tuple[Path, ...] = (Path("results"),)
    """Folders whose runs/ hold records."""
    submissions: Path | None = None
    """A folder of submissions, each a folder or a zip archive; each is checked first, and refused ones are left out."""
    verdicts: Path | None = None
    """A folder of what `da-bench submit check --verdict` wrote: what was made again, and audited."""
    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""
    rule: str = "last"
    """The selection rule that is shown first."""
    out: Path = Path("results/leaderboard")
    """The folder to write."""


def leaderboard(arguments: list[str]) -> None:
    """`da-bench leaderboard`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] != "build":
        raise UserError(f"unknown '{arguments[0]}'{did_you_mean(arguments[0], ['build'])}")
    asked = tyro.cli(Build, args=arguments[1:], prog="da-bench leaderboard build")
    from da_bench.leaderboard.site.build import build, gather
    from da_bench.reporting.tables.rules import check_rule

    check_rule(asked.rule)
    gathered = gather(asked.results, asked.submissions, asked.verdicts, asked.data_root)
    for one in gathered.left_out:
        print(f"left out: {one}")
    written = build(gathered, asked.out, asked.rule)
    print(f"{len(written)} files in {asked.out}; open {asked.out / 'index.html'}")
