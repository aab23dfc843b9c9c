"""From results folders and submissions to a folder of pages."""

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError
from da_bench.core.storage import write_atomic
from da_bench.evaluation.validators import RULES
from da_bench.leaderboard.site import downloads, pages
from da_bench.leaderboard.site.board import Board
from da_bench.leaderboard.site.entries import Source, entries_of, ranks
from da_bench.leaderboard.submission.check import check_submission, load_tasks, recompute_runs
from da_bench.leaderboard.submission.reader import PredictedRun
from da_bench.leaderboard.submission.verdict import read_verdict
from da_bench.leaderboard.submission.writer import finished_runs, is_finished
from da_bench.methods import load_plugins
from da_bench.studies.archive import archive_in, unpack
from da_bench.studies.experiment import canonical_json
from da_bench.studies.records import Record

STATIC = ("style.css", "script.js")
GENERATED = re.compile(r"(?:task|method)_[a-z0-9_.-]+\.html|config_[a-z0-9_.-]+\.json")


class Gathered(NamedTuple):
    """What the site is built from.

    Attributes:
        sources: records and what was checked about them.
        left_out: the records and submissions that are not shown, each with the reason.
    """

    sources: list[Source]
    left_out: list[str]


def gather(
    results: Sequence[Path], submissions: Path | None, verdicts: Path | None, data_root: Path | None = None
) -> Gathered:
    """Read and check everything that the site shows.

    Numbers are recomputed from predictions where the data are available; a record whose numbers do not follow from
    its predictions is left out, and so is a refused submission.

    Args:
        results: results folders with published runs, or study folders with an archive of records. A run that is in
            both is taken with its predictions.
        submissions: folder of submissions, each a folder or a zip archive.
        verdicts: folder of files that `da-bench submit check --verdict` wrote.
        data_root: folder of data sets; None for the variable DA_BENCH_DATA.

    Raises:
        UserError: a folder or a verdict cannot be read, or there is nothing to show.
    """
    load_plugins()
    runs = {run.record.id: run for folder in results for run in finished_runs(folder)}
    archives = [path for folder in results if (path := archive_in(folder))]
    archived = {record.id: record for path in archives for record in unpack(path).records if is_finished(record)}
    verdict_files = [read_verdict(path) for path in sorted(verdicts.glob("*.json"))] if verdicts else []
    parts = [_from_results(list(runs.values()), list(archived.values()), verdict_files, data_root)]
    parts += [
        _from_submission(path, list(runs.values()), verdict_files, data_root) for path in _submissions_in(submissions)
    ]
    sources = [source for part in parts for source in part.sources if source.records]
    if not sources:
        raise UserError(f"no finished runs in {', '.join(map(str, results))}; make some with `da-bench run`")
    return Gathered(sources, [reason for part in parts for reason in part.left_out])


def _submissions_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    if not folder.is_dir():
        raise UserError(f"--submissions {folder}: there is no such folder")
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _from_results(
    runs: Sequence[PredictedRun], archived: Sequence[Record], verdicts: Sequence[Any], data_root: Path | None
) -> Gathered:
    recomputed = recompute_runs(runs, load_tasks(runs, data_root))
    refused = {
        finding.where: f"{finding.where}: {finding.what}"
        for finding in recomputed.findings
        if finding.level == "refused"
    }
    correct = [run for run in recomputed.runs if run.record.id not in refused]
    source = _source(None, correct, recomputed.ids, verdicts)
    with_predictions = {run.record.id for run in runs}
    rest = [record for record in archived if record.id not in with_predictions]
    source = source._replace(records=[*source.records, *rest], archived=frozenset(record.id for record in rest))
    return Gathered([source], list(refused.values()))


def _from_submission(
    path: Path, known: Sequence[PredictedRun], verdicts: Sequence[Any], data_root: Path | None
) -> Gathered:
    report = check_submission(path, known, data_root)
    digest = report.submission.digest if report.submission else None
    own_verdicts = [verdict for verdict in verdicts if verdict["submission"] == digest]
    refused = [finding.what for finding in report.findings if finding.level == "refused"]
    refused += ["refused by its verdict file" for verdict in own_verdicts if verdict["verdict"] == "refused"]
    if report.submission is None or refused:
        return Gathered([], [f"{path}: {refused[0]}"])
    source = _source(report.submission.manifest, report.runs, report.recomputed, verdicts)
    flags = [finding for finding in report.findings if finding.level == "flagged" and finding.where not in source.rerun]
    return Gathered([source._replace(flags=tuple(flags))], [])


def _source(manifest: Any, runs: Sequence[PredictedRun], recomputed: frozenset[str], verdicts: Sequence[Any]) -> Source:
    repeated = {digest for verdict in verdicts for digest in verdict["rerun"]}
    rerun = frozenset(run.record.id for run in runs if run.digest in repeated)
    audited = frozenset(name for verdict in verdicts for name in verdict["audited"])
    return Source(manifest, [run.record for run in runs], recomputed, rerun, audited)


def build(gathered: Gathered, out: Path, rule: str) -> list[Path]:
    """Write the site into `out` and delete pages of an earlier build that it no longer has.

    Args:
        gathered: what `gather` returns.
        out: folder to write.
        rule: the selection rule that is shown first.

    Returns:
        The written paths, index.html last.
    """
    entries = entries_of(gathered.sources)
    board = Board(entries, {name: ranks(entries, name) for name in RULES}, rule)
    contents = dict(_contents(board))
    written = [write_atomic(out / name, text) for name, text in contents.items()]
    for path in out.iterdir():
        if path.name not in contents and GENERATED.fullmatch(path.name):
            path.unlink()
    return written


def _contents(board: Board) -> Iterator[tuple[str, str]]:
    """(file name, content) of every file of the site."""
    for name in STATIC:
        yield name, (files("da_bench.leaderboard.site") / "static" / name).read_text(encoding="utf-8")
    for task in sorted({entry.task for entry in board.entries}):
        yield pages.task_file(task), pages.task_page(board, task)
    files_of_methods = {entry.method: pages.method_file(entry) for entry in board.entries}
    for method, file in sorted(files_of_methods.items()):
        yield file, pages.method_page(board, method)
    for entry in board.entries:
        yield pages.config_file(entry), canonical_json(entry.record.config) + "\n"
    yield "leaderboard.csv", downloads.as_csv(board)
    yield "leaderboard.json", downloads.as_json(board)
    yield "leaderboard.bib", downloads.as_bibtex(board.entries)
    yield "tasks.html", pages.tasks_page(board)
    yield "methods.html", pages.methods_page(board)
    yield "about.html", pages.about_page(board.rule)
    yield "index.html", pages.index_page(board)
