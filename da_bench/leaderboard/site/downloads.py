"""The board as CSV, JSON and BibTeX."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from da_bench.core.config import UserError
from da_bench.data import tasks
from da_bench.leaderboard.site.entries import Entry, documentation, interval, slug
from da_bench.leaderboard.site.pages import Ranks, references
from da_bench.reporting.tables.escape import escape_csv, escape_latex
from da_bench.reporting.tables.text import single_line

FIELDS = (
    "task", "protocol", "method", "entry", "backbone", "rule", "accuracy", "half_width", "seeds", "rank_best",
    "rank_worst", "checks", "commit", "data",
)  # fmt: skip


def lines(entries: Sequence[Entry], ranks: Ranks) -> list[dict[str, Any]]:
    """One dict of FIELDS for each entry and rule; accuracies in [0, 1]."""
    return [_line(i, entry, rule, ranks) for i, entry in enumerate(entries) for rule in entry.rules()]


def _line(i: int, entry: Entry, rule: str, ranks: Ranks) -> dict[str, Any]:
    mean, half, seeds = interval(entry, rule)
    rank = ranks[rule].get(i)
    where = entry.record.environment
    values = (
        entry.task, entry.record.result["protocol"], entry.method, entry.title, entry.backbone, rule, mean, half, seeds,
        rank and rank.best, rank and rank.worst, " ".join(slug(one) for one in entry.badges), where.get("commit"),
        where.get("data"),
    )  # fmt: skip
    return dict(zip(FIELDS, (single_line(one) if isinstance(one, str) else one for one in values), strict=True))


def as_csv(entries: Sequence[Entry], ranks: Ranks) -> str:
    """A line an entry and rule; no cell is a formula to a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([escape_csv(one[field]) for field in FIELDS] for one in lines(entries, ranks))
    return text.getvalue()


def as_json(entries: Sequence[Entry], ranks: Ranks) -> str:
    """The same as a list of objects."""
    return json.dumps(lines(entries, ranks), ensure_ascii=True, allow_nan=False, indent=0) + "\n"


def as_bibtex(entries: Sequence[Entry]) -> str:
    """What to cite: of our methods and tasks the reference as a note, of submissions their own entries."""
    notes: dict[str, tuple[str, str]] = {}
    for entry in entries:
        notes.setdefault(f"task_{slug(entry.task)}", (entry.task, _citation(entry.task)))
        if entry.source.manifest is None:
            name = entry.record.config["method"]["name"]
            note = references(documentation(entry)).removeprefix("References: ")
            notes.setdefault(f"method_{slug(name)}", (name, note))
    own = [_misc(key, *note) for key, note in sorted(notes.items()) if note[1]]
    theirs = {one.source.manifest["citation"] for one in entries if one.source.manifest}
    return "\n\n".join([*own, *sorted(one for one in theirs if one)]) + "\n"


def _citation(task: str) -> str:
    try:
        return tasks.spec(task).citation
    except UserError:  # of a submission from elsewhere
        return ""


def _misc(key: str, title: str, note: str) -> str:
    return f"@misc{{{key},\n  title = {{{escape_latex(title)}}},\n  note = {{{escape_latex(note)}}}\n}}"
