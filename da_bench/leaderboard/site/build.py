"""Results folders and submissions -> a folder of pages."""

import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError
from da_bench.core.storage import write_atomic
from da_bench.evaluation.validators import RULES
from da_bench.leaderboard.site import downloads, pages
from da_bench.leaderboard.site.entries import Entry, Source, entries_of, ranks
from da_bench.leaderboard.submission.check import check, read_verdict, recompute_all, tasks_of
from da_bench.leaderboard.submission.pack import runs as runs_of
from da_bench.leaderboard.submission.package import Run
from da_bench.methods import load_plugins
from da_bench.studies.experiment import canonical

ASSETS = ("style.css", "script.js")
OURS = re.compile(r"(?:task|method)_[a-z0-9_.-]+\.html|config_[a-z0-9_.-]+\.json")  # an earlier build may have left it


class Gathered(NamedTuple):
    """What the site is built from, and what was left out of it, with the reason."""

    sources: list[Source]
    left_out: list[str]


def gather(
    results: Sequence[Path], submissions: Path | None, verdicts: Path | None, data_root: Path | None = None
) -> Gathered:
    """The records of results folders, recomputed where their data are here, and the submissions that are not refused.

    A record whose numbers do not follow from its predictions is left out. verdicts: a folder of `Verdict` files.

    Raises:
        UserError: a folder or a verdict cannot be read, or there is nothing to show.
    """
    load_plugins()
    known = {run.record.id: run for folder in results for run in runs_of(folder)}
    said = [read_verdict(path) for path in sorted(verdicts.glob("*.json"))] if verdicts else []
    ours = _own(list(known.values()), said, data_root)
    theirs = [_submitted(place, list(known.values()), said, data_root) for place in _places(submissions)]
    sources = [one for found in (ours, *theirs) for one in found.sources if one.records]
    if not sources:
        raise UserError(f"no finished runs in {', '.join(map(str, results))}; make some with `da-bench run`")
    return Gathered(sources, [reason for found in (ours, *theirs) for reason in found.left_out])


def _places(submissions: Path | None) -> list[Path]:
    if submissions is None:
        return []
    if not submissions.is_dir():
        raise UserError(f"no folder of submissions: {submissions}")
    return sorted(one for one in submissions.iterdir() if not one.name.startswith("."))


def _own(known: Sequence[Run], said: Sequence[Any], data_root: Path | None) -> Gathered:
    runs, ids, findings = recompute_all(known, tasks_of(known, data_root))
    wrong = {one.where: f"{one.where}: {one.what}" for one in findings if one.level == "refused"}
    kept = [run for run in runs if run.record.id not in wrong]
    return Gathered([_source(None, kept, ids, said)], list(wrong.values()))


def _submitted(place: Path, known: Sequence[Run], said: Sequence[Any], data_root: Path | None) -> Gathered:
    report = check(place, known, data_root)
    theirs = [one for one in said if report.submission and one["submission"] == report.submission.digest]
    refused = [one.what for one in report.findings if one.level == "refused"]
    refused += ["its verdict says so" for one in theirs if one["verdict"] == "refused"]
    if report.submission is None or refused:
        return Gathered([], [f"{place}: {refused[0]}"])
    source = _source(report.submission.manifest, report.runs, report.recomputed, said)
    flags = [one for one in report.findings if one.level == "flagged" and one.where not in source.rerun]
    return Gathered([source._replace(flags=tuple(flags))], [])


def _source(manifest: Any, runs: Sequence[Run], ids: frozenset[str], said: Sequence[Any]) -> Source:
    again = {digest for one in said for digest in one["rerun"]}
    rerun = frozenset(run.record.id for run in runs if run.digest in again)
    audited = frozenset(name for one in said for name in one["audited"])
    return Source(manifest, [run.record for run in runs], ids, rerun, audited)


def build(gathered: Gathered, out: Path, rule: str) -> list[Path]:
    """Write the site into `out` and remove pages there that it no longer has; returns the paths, index.html last."""
    entries = entries_of(gathered.sources)
    made = dict(_files(entries, rule))
    written = [write_atomic(out / name, text) for name, text in made.items()]
    for stale in out.iterdir():
        if stale.name not in made and OURS.fullmatch(stale.name):
            stale.unlink()
    return written


def _files(entries: Sequence[Entry], rule: str) -> Iterator[tuple[str, str]]:
    """(name, content) of every file of the site."""
    placed = {one: ranks(entries, one) for one in RULES}
    for name in ASSETS:
        yield name, (files("da_bench.leaderboard.site") / name).read_text(encoding="utf-8")
    for name in _names(one.task for one in entries):
        yield pages.task_page(name), pages.task(name, entries, placed, rule)
    for name in _names(one.method for one in entries):
        first = next(one for one in entries if one.method == name)
        yield first.page, pages.method(name, entries, placed, rule)
    for entry in entries:
        yield pages.config_file(entry), canonical(entry.record.config) + "\n"
    yield "leaderboard.csv", downloads.as_csv(entries, placed)
    yield "leaderboard.json", downloads.as_json(entries, placed)
    yield "leaderboard.bib", downloads.as_bibtex(entries)
    yield "tasks.html", pages.listing("tasks", entries)
    yield "methods.html", pages.listing("methods", entries)
    yield "about.html", pages.about(rule)
    yield "index.html", pages.index(entries, placed, rule)


def _names(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
