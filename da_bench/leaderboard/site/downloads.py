"""The leaderboard as CSV, JSON and BibTeX."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from da_bench.leaderboard.site.board import Board
from da_bench.leaderboard.site.entries import Entry, documentation, interval, slug
from da_bench.leaderboard.site.pages import known_task, references
from da_bench.reporting.tables.escape import escape_csv, escape_latex
from da_bench.reporting.tables.text import single_line

FIELDS = (
    "task", "protocol", "method", "entry", "backbone", "rule", "accuracy", "half_width", "seeds", "rank_best",
    "rank_worst", "checks", "commit", "data",
)  # fmt: skip


def table(board: Board) -> list[dict[str, Any]]:
    """One row for each entry and rule, with the keys FIELDS; accuracies in [0, 1]."""
    return [_row(board, i, rule) for i, entry in enumerate(board.entries) for rule in entry.rules()]


def _row(board: Board, i: int, rule: str) -> dict[str, Any]:
    entry = board.entries[i]
    mean, half_width, seeds = interval(entry, rule)
    rank = board.ranks[rule].get(i)
    environment = entry.record.environment
    values = (
        entry.task, entry.protocol, entry.method, entry.title, entry.backbone, rule, mean, half_width, seeds,
        rank and rank.best, rank and rank.worst, " ".join(map(slug, entry.badges)), environment.get("commit"),
        environment.get("data"),
    )  # fmt: skip
    return dict(zip(FIELDS, (single_line(value) if isinstance(value, str) else value for value in values), strict=True))


def as_csv(board: Board) -> str:
    """The table as CSV. No cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([escape_csv(row[field]) for field in FIELDS] for row in table(board))
    return text.getvalue()


def as_json(board: Board) -> str:
    """The table as a list of objects."""
    return json.dumps(table(board), ensure_ascii=True, allow_nan=False, indent=0) + "\n"


def as_bibtex(entries: Sequence[Entry]) -> str:
    """References of our tasks and methods as notes, followed by the BibTeX entries of submissions."""
    notes: dict[str, tuple[str, str]] = {}
    for entry in entries:
        task = known_task(entry.task)
        notes.setdefault(f"task_{slug(entry.task)}", (entry.task, task.citation if task else ""))
        if entry.source.manifest is None:
            name = entry.record.config["method"]["name"]
            note = references(documentation(entry)).removeprefix("References: ")
            notes.setdefault(f"method_{slug(name)}", (name, note))
    own = [_misc(key, title, note) for key, (title, note) in sorted(notes.items()) if note]
    submitted = {entry.source.manifest["citation"] for entry in entries if entry.source.manifest}
    return "\n\n".join([*own, *sorted(filter(None, submitted))]) + "\n"


def _misc(key: str, title: str, note: str) -> str:
    return f"@misc{{{key},\n  title = {{{escape_latex(title)}}},\n  note = {{{escape_latex(note)}}}\n}}"
