"""What each page shows, as data for its template."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from da_bench.core.config import UserError
from da_bench.data import tasks
from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.leaderboard.site.board import Board, Standing, accuracy_text, sort_key, standing
from da_bench.leaderboard.site.entries import Entry, documentation, interval, slug
from da_bench.leaderboard.site.render import fragment, render
from da_bench.reporting.tables.cells import gain_over_source_only, seconds_cell, verdict_cell
from da_bench.reporting.tables.text import join_unique

NUMERIC = frozenset({"Rank", "Accuracy", "Gain", "Seeds", *RULES.values()})
TASK_RULES = (LAST, ORACLE, "im", "source_validation")  # columns of a task's page, besides the declared rule
MOST_CLASSES, MOST_SEEDS = 40, 64  # that a page lists
WHISKER_START, WHISKER_WIDTH = 5, 110  # pixels


class Whisker(NamedTuple):
    """A drawn interval.

    Attributes:
        low, mean, high: horizontal positions in pixels.
        label: the interval as text.
    """

    low: str
    mean: str
    high: str
    label: str


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        column: title of its column.
        text: what it shows, unless it has badges or an interval.
        sort_key: what its column is sorted by; None sorts last in both directions.
        href: page that the text links to.
        field: name of the value in `Standing` that script.js writes into it when the rule changes.
        badges: names of badges.
        interval: an interval to draw.
    """

    column: str
    text: object
    sort_key: object = None
    href: str | None = None
    field: str | None = None
    badges: tuple[str, ...] = ()
    interval: Whisker | None = None

    @property
    def is_number(self) -> bool:
        """Whether its column is aligned to the right."""
        return self.column in NUMERIC


class TableRow(NamedTuple):
    """A row of a table.

    Attributes:
        cells: one for each column.
        heading: title of the column that names the row.
        attributes: data attributes for script.js, without "data-".
    """

    cells: Sequence[Cell]
    heading: str
    attributes: Mapping[str, str] = {}


def index_page(board: Board) -> str:
    """The leaderboard: all entries, with filters and a choice of the selection rule."""
    entries = board.entries
    order = sorted(range(len(entries)), key=lambda i: (entries[i].task, *sort_key(board, i)))
    rules = [rule for rule in RULES if any(rule in entry.rules() for entry in entries)]
    options = [{"value": rule, "label": RULES[rule], "selected": rule == board.rule} for rule in rules]
    filters = [
        {"id": "task", "title": "Task", "options": _options(entry.task for entry in entries)},
        {"id": "backbone", "title": "Backbone", "options": _options(entry.backbone for entry in entries)},
        {"id": "protocol", "title": "Protocol", "options": _options(entry.protocol for entry in entries)},
        {"id": "rule", "title": "Selection rule", "options": options},
    ]
    return render(
        "index",
        title="Leaderboard",
        file="index.html",
        methods=len({entry.method for entry in entries}),
        tasks=len({entry.task for entry in entries}),
        runs=len({run.id for entry in entries for run in entry.row.runs}),
        filters=filters,
        rows=[_index_row(board, i) for i in order],
    )


def _options(values: Iterable[str]) -> list[dict[str, Any]]:
    every = [("", "all"), *((value, value) for value in sorted(set(values)))]
    return [{"value": value, "label": label, "selected": False} for value, label in every]


def _index_row(board: Board, i: int) -> TableRow:
    entry, shown = board.entries[i], standing(board, i, board.rule)
    cells = [
        Cell("Rank", shown.rank, shown.rank_key, field="rank"),
        Cell("Method", entry.title, entry.title, href=method_file(entry)),
        Cell("Task", entry.task, entry.task, href=task_file(entry.task)),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Accuracy", shown.accuracy, shown.accuracy_key, field="accuracy"),
        Cell("Gain", shown.gain, shown.gain_key, field="gain"),
        *_seeds_and_checks(entry),
    ]
    attributes = {
        "task": entry.task,
        "backbone": entry.backbone,
        "protocol": entry.protocol,
        "name": entry.title,
        "rules": json.dumps({rule: _joined(standing(board, i, rule)) for rule in entry.rules()}, ensure_ascii=False),
    }
    return TableRow(cells, "Method", attributes | ({"bound": ""} if entry.row.uses_target_labels else {}))


def _joined(shown: Standing) -> str:
    """The values separated by "|" for script.js: as JSON they would take four times the bytes in an attribute."""
    return "|".join("" if value is None else str(value) for value in shown)


def _seeds_and_checks(entry: Entry) -> list[Cell]:
    seeds = len(entry.row.runs)
    return [Cell("Seeds", seeds, seeds), Cell("Checks", "", len(entry.badges), badges=entry.badges)]


def _rule_cells(entry: Entry, rules: Sequence[str]) -> list[Cell]:
    """The accuracy by each rule."""
    means = [interval(entry, rule)[0] if entry.row.scores(rule) else None for rule in rules]
    return [Cell(RULES[rule], accuracy_text(entry, rule), mean) for rule, mean in zip(rules, means, strict=True)]


def task_file(name: str) -> str:
    """File name of a task's page."""
    return f"task_{slug(name)}.html"


def task_page(board: Board, name: str) -> str:
    """All entries of a task, with an interval drawn for each."""
    indices = sorted(board.where(task=name), key=lambda i: sort_key(board, i))
    entries = [board.entries[i] for i in indices]
    rules = [
        rule for rule in RULES if rule in (*TASK_RULES, board.rule) and any(rule in entry.rules() for entry in entries)
    ]
    intervals = [interval(entry, board.rule) for entry in entries if entry.row.scores(board.rule)]
    limits = (
        min((mean - (half_width or 0) for mean, half_width, _ in intervals), default=0.0),
        max((mean + (half_width or 0) for mean, half_width, _ in intervals), default=1.0),
    )
    return render(
        "task",
        title=name,
        file=task_file(name),
        rule=RULES[board.rule],
        filtered_board="index.html" + fragment(task=name),
        rows=[_task_row(board, i, rules, limits) for i in indices],
        facts=_task_facts(name, entries),
    )


def _task_row(board: Board, i: int, rules: Sequence[str], limits: tuple[float, float]) -> TableRow:
    entry, shown = board.entries[i], standing(board, i, board.rule)
    verdict = verdict_cell(entry.row, gain_over_source_only(entry.row, entry.rows, board.rule)).text
    cells = [
        Cell("Rank", shown.rank, shown.rank_key),
        Cell("Method", entry.title, entry.title, href=method_file(entry)),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Interval", "n/a", shown.accuracy_key, interval=_whisker(entry, board.rule, limits)),
        *_rule_cells(entry, rules),
        Cell("Gain", shown.gain, shown.gain_key),
        Cell("Verdict", verdict, verdict),
        *_seeds_and_checks(entry),
    ]
    return TableRow(cells, "Method")


def _whisker(entry: Entry, rule: str, limits: tuple[float, float]) -> Whisker | None:
    """The interval on a scale from the lowest to the highest end of its table, `limits`."""
    if not entry.row.scores(rule):
        return None
    mean, half_width, _ = interval(entry, rule)
    low, high = limits
    values = (mean - (half_width or 0), mean, mean + (half_width or 0))
    pixels = [f"{WHISKER_START + WHISKER_WIDTH * (value - low) / ((high - low) or 1):.1f}" for value in values]
    return Whisker(pixels[0], pixels[1], pixels[2], accuracy_text(entry, rule))


def _task_facts(name: str, entries: Sequence[Entry]) -> dict[str, str | None]:
    records = [run for entry in entries for run in entry.row.runs]
    classes = list(map(str, records[0].result.get("classes", [])))
    spec = known_task(name)
    return {
        "Source": spec.source if spec else None,
        "Target": spec.target if spec else None,
        "Protocol": join_unique(entry.protocol for entry in entries),
        "Classes": f"{len(classes)}: {', '.join(classes[:MOST_CLASSES])}{' …' * (len(classes) > MOST_CLASSES)}",
        "Data fingerprint": join_unique(_data(record.environment) for record in records),
        "Split": join_unique(record.result["split"] for record in records if "split" in record.result),
        "Citation": spec.citation if spec else None,
    }


def known_task(name: str) -> tasks.TaskSpec | None:
    """The task of this name; None if it is not registered here, as a submission's own task."""
    try:
        return tasks.spec(name)
    except UserError:
        return None


def _data(environment: Mapping[str, Any]) -> str:
    return str(environment.get("data", "unknown"))[:16]


def method_file(entry: Entry) -> str:
    """File name of the page of the entry's method."""
    return f"method_{slug(entry.method)}.html"


def method_page(board: Board, name: str) -> str:
    """A method's entries on all tasks, with a reproduction card for each."""
    indices = board.where(method=name)
    entries = [board.entries[i] for i in indices]
    rules = [rule for rule in RULES if any(rule in entry.rules() for entry in entries)]
    docstring, source = documentation(entries[0]), entries[0].source
    return render(
        "method",
        title=name,
        file=method_file(entries[0]),
        rule=RULES[board.rule],
        summary=docstring.partition("\n")[0],
        references=references(docstring),
        manifest=source.manifest,
        declared_rule=source.manifest and RULES[source.manifest["rule"]],
        flags="; ".join(f"{flag.check}: {flag.what}" for flag in source.flags),
        rows=[_method_row(standing(board, i, board.rule), board.entries[i], rules) for i in indices],
        cards=[_card(entry, board.rule) for entry in entries],
    )


def _method_row(shown: Standing, entry: Entry, rules: Sequence[str]) -> TableRow:
    cells = [
        Cell("Rank", shown.rank, shown.rank_key),
        Cell("Entry", entry.row.name, entry.row.name),
        Cell("Task", entry.task, entry.task, href=task_file(entry.task)),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Gain", shown.gain, shown.gain_key),
        *_rule_cells(entry, rules),
        *_seeds_and_checks(entry),
    ]
    return TableRow(cells, "Entry")


def references(docstring: str) -> str:
    """The paragraph of a docstring that begins with "References:", on one line; empty if there is none."""
    paragraphs = [text for text in docstring.split("\n\n") if text.startswith("References:")]
    return " ".join(paragraphs[0].split()) if paragraphs else ""


def config_file(entry: Entry) -> str:
    """File name of the config of an entry's first seed."""
    return f"config_{entry.record.id if entry.record.id.isalnum() else slug(entry.record.id)}.json"


def _card(entry: Entry, rule: str) -> dict[str, Any]:
    """What is needed to repeat an entry's runs, and what to expect of them."""
    runs = entry.row.runs
    environments = [run.environment for run in runs]
    training = entry.record.config["training"] or {}
    packages = (f"{name} {version}" for item in environments for name, version in item.get("packages", {}).items())
    return {
        "title": f"{entry.row.name} on {entry.task}, {entry.backbone}",
        "accuracy": f"{accuracy_text(entry, rule)} by “{RULES[rule]}”, {len(runs)} seeds",
        "seeds": ", ".join(str(run.config["seed"]) for run in runs[:MOST_SEEDS]),
        "config_file": config_file(entry),
        "command": join_unique(environment.get("command") or "unknown" for environment in environments),
        "commit": join_unique(environment.get("commit") or "unknown" for environment in environments),
        "uncommitted": "yes" if any(environment.get("dirty") for environment in environments) else "no",
        "device": join_unique(f"{item.get('device')} x {item.get('device_count', 1)}" for item in environments),
        "packages": join_unique(packages),
        "data": join_unique(map(_data, environments)),
        "training": ", ".join(f"{key}={value}" for key, value in training.items()),
        "seconds": seconds_cell(entry.row).text,
        "known_failures": join_unique(entry.record.result.get("expected_failed_checks", {}).values()),
        "diverged": f"{entry.row.diverged} of {len(runs)}" if entry.row.diverged else "",
        "method_fields": json.dumps(entry.record.config["method"], indent=1, ensure_ascii=False),
    }


def tasks_page(board: Board) -> str:
    """Links to the pages of all tasks."""
    return _listing("Tasks", [(entry.task, task_file(entry.task)) for entry in board.entries])


def methods_page(board: Board) -> str:
    """Links to the pages of all methods."""
    return _listing("Methods", [(entry.method, method_file(entry)) for entry in board.entries])


def _listing(title: str, pages: Sequence[tuple[str, str]]) -> str:
    """The page of links to (name, file), one for each distinct pair, with the number of their entries."""
    items = [{"name": name, "file": file, "entries": pages.count((name, file))} for name, file in sorted(set(pages))]
    return render("listing", title=title, file=f"{title.lower()}.html", items=items)


def about_page(rule: str) -> str:
    """What numbers, ranks and badges mean, and how to submit."""
    return render("about", title="About", file="about.html", rule=RULES[rule])
