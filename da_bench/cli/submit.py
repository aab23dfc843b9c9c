"""`da-bench submit`: runs as a submission of predictions, and whether one is what it says."""

import dataclasses
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from da_bench.core.config import UserError, did_you_mean
from da_bench.core.strict_json import StrictError

HELP = """usage: da-bench submit WHAT [OPTIONS]

  pack    the runs of a results folder as a submission: predictions, configs, environments, and their hashes
  check   a submission: read strictly, its numbers computed again, compared with what is known, runs made again

da-bench submit WHAT --help says more.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pack:
    """Pack the finished runs of a results folder."""

    name: str
    """What the leaderboard calls it: letters, digits, space and ._+()-, at most 60."""
    authors: tuple[str, ...]
    """Who submits it."""
    results: Path = Path("results")
    """Folder whose runs/ holds the records."""
    methods: tuple[str, ...] = ()
    """Only the runs of these methods; default: all. The upper bound is never packed."""
    rule: str = "last"
    """The selection rule declared for the comparison: last, or one of `da-bench list validators`."""
    link: str | None = None
    """A page that says more: https://..."""
    citation: Path | None = None
    """A file of BibTeX entries."""
    code: Path | None = None
    """The file that registers the method, where it is not one of da_bench's."""
    out: Path = Path("submission.zip")
    """A zip archive, or a folder where the name does not end so."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """Check a submission; exit code 1 where it is refused.

    Refused is what is false, flagged what is improbable, noted what cannot be known. Nothing of a submission is run
    unless --rerun, --audit or --run-code say so.
    """

    what: Annotated[Path, tyro.conf.Positional]
    """The folder or zip archive."""
    against: tuple[Path, ...] = ()
    """Results folders whose records it is compared with: copies, upper bounds, where others err."""
    data_root: Path | None = None
    """Folder of your data sets; default: the variable DA_BENCH_DATA."""
    rerun: int = 0
    """Make so many of its runs, drawn at random, again, each with the other seeds of its setting."""
    audit: bool = False
    """Hold its methods to the check that target labels cannot reach them."""
    run_code: bool = False
    """Load the code that it brings. It can do all that you can: look at it first, or do it where nothing is to lose."""
    verdict: Path | None = None
    """Write what was found to this file, for `da-bench leaderboard build --verdicts`."""
    json: bool = False
    """What was found as a line of JSON, for programs."""


def submit(arguments: list[str]) -> None:
    """`da-bench submit`."""
    whats: dict[str, Callable[[list[str]], None]] = {"pack": pack, "check": check}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if arguments[0] not in whats:
        raise UserError(f"unknown '{arguments[0]}'{did_you_mean(arguments[0], whats)}")
    whats[arguments[0]](arguments[1:])


def pack(arguments: list[str]) -> None:
    """`da-bench submit pack`."""
    asked = tyro.cli(Pack, args=arguments, prog="da-bench submit pack")
    from da_bench.leaderboard.submission.pack import pack as pack_runs

    about = {"name": asked.name, "authors": list(asked.authors), "link": asked.link, "rule": asked.rule}
    citation = "" if asked.citation is None else _text(asked.citation)
    for given in (asked.code,) if asked.code else ():
        _text(given)
    made = pack_runs(asked.results, asked.out, {**about, "citation": citation}, asked.methods, asked.code)
    print(f"{asked.out}: {len(made.runs)} runs; look at it with `da-bench submit check {asked.out}`")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def check(arguments: list[str]) -> None:
    """`da-bench submit check`."""
    asked = tyro.cli(Check, args=arguments, prog="da-bench submit check")
    from da_bench.leaderboard.submission import check as checks
    from da_bench.leaderboard.submission.pack import runs

    others = [run for folder in asked.against for run in runs(folder)]
    if asked.run_code:
        _load_code(asked.what)
    report = checks.check(asked.what, others, asked.data_root)
    if report.verdict != "refused" and asked.rerun:
        report = checks.again(report, asked.rerun, asked.data_root)
    if report.verdict != "refused" and asked.audit:
        report = checks.audit(report)
    _show(report, asked)


def _load_code(what: Path) -> None:
    """Run the files of code/ of a submission, from copies in a folder of their own."""
    import tempfile

    from da_bench.leaderboard.submission.package import read

    for name, content in read(what).code.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            runpy.run_path(str(path))


def _show(report: Any, asked: Check) -> None:
    from da_bench.core.storage import write_atomic
    from da_bench.leaderboard.submission.check import as_json, lines

    if asked.verdict is not None:
        write_atomic(asked.verdict, as_json(report))
    print(as_json(report) if asked.json else "\n".join(lines(report)))
    sys.stdout.flush()
    if report.verdict == "refused":
        raise StrictError(f"{asked.what} is refused")
