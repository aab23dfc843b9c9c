"""The pages: functions of entries."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data import tasks
from da_bench.evaluation.validators import LAST, ORACLE, RULES
from da_bench.leaderboard.site.entries import BADGES, Entry, Rank, documentation, interval, slug
from da_bench.leaderboard.site.html import Markup, block, code, fragment, join, link, page, tag
from da_bench.reporting.stats.paired import PairedTest
from da_bench.reporting.tables.cells import gain_over_source_only, percent, seconds_cell, verdict_cell
from da_bench.reporting.tables.text import join_unique

Ranks = Mapping[str, Mapping[int, Rank]]  # rule -> index of an entry -> rank

ORACLE_NOTE = "The oracle chooses by target labels, which nobody has: a limit for selection, not a result."
NUMBERS_NOTE = (
    "Accuracies are percent of the target's test rows: mean ± half width of the 95 % t interval over seeds. Gain: "
    "points over source only with the same network and training, on the same seeds. Rank: the places that paired t "
    "tests over seeds leave open within a task and network (5 %, Holm)."
)


def index(entries: Sequence[Entry], ranks: Ranks, rule: str) -> str:
    """The leaderboard: every entry, to be filtered by task, backbone, protocol and rule, and sorted by column."""
    rules = [one for one in RULES if any(one in entry.rules() for entry in entries)]
    choices = [
        ("task", "Task", _options(one.task for one in entries)),
        ("backbone", "Backbone", _options(one.backbone for one in entries)),
        ("protocol", "Protocol", _options(_protocol(one) for one in entries)),
        ("rule", "Selection rule", [(one, RULES[one]) for one in rules]),
    ]
    order = sorted(range(len(entries)), key=lambda i: (entries[i].task, *_order(i, entries[i], ranks, rule)))
    return page(
        "Leaderboard",
        "index.html",
        tag("h1", "Domain adaptation, measured"),
        tag("p", _summary(entries), class_="lead"),
        tag("form", *(_select(*one, rule) for one in choices), _search(), _bounds(), class_="filters", id="filters"),
        tag("p", f"{len(entries)} entries", id="count", role="status"),
        _table("board", [_index_row(i, entries[i], ranks, rule) for i in order], "All entries"),
        tag("p", NUMBERS_NOTE, " ", ORACLE_NOTE, class_="note"),
        _downloads(),
    )


def _summary(entries: Sequence[Entry]) -> str:
    runs = len({run.id for one in entries for run in one.row.runs})
    methods, named = len({one.method for one in entries}), len({one.task for one in entries})
    tasks = "1 task" if named == 1 else f"{named} tasks"
    return f"{methods} methods on {tasks}, from the stored predictions of {runs} runs. No number was typed in."


def _options(values: Iterable[str]) -> list[tuple[str, str]]:
    return [("", "all"), *((one, one) for one in sorted(set(values)))]


def _select(name: str, title: str, options: Sequence[tuple[str, str]], rule: str) -> Markup:
    made = [tag("option", said, value=value, selected=name == "rule" and value == rule) for value, said in options]
    return tag("label", tag("span", title), tag("select", *made, id=name, autocomplete="off"))


def _search() -> Markup:
    return tag("label", tag("span", "Method"), tag("input", id="search", type="search", autocomplete="off"))


def _bounds() -> Markup:
    ticked = tag("input", id="bounds", type="checkbox", checked=True, autocomplete="off")
    return tag("label", ticked, tag("span", "upper bounds"), class_="tick")


def _downloads() -> Markup:
    links = [link(f"leaderboard.{kind}", kind.upper()) for kind in ("csv", "json")]
    return tag("p", "Download: ", links[0], " · ", links[1], " · ", link("leaderboard.bib", "BibTeX"), class_="note")


class Cell(NamedTuple):
    """title: of its column; by: what it is sorted by; of: what script.js writes into it when the rule changes."""

    title: str
    shown: object
    by: object = None
    of: str | None = None


class Line(NamedTuple):
    """A row of a table; heading: the title of the cell that names it; facts: attributes for script.js."""

    cells: Sequence[Cell]
    heading: str
    facts: Mapping[str, object] = {}


def _index_row(i: int, entry: Entry, ranks: Ranks, rule: str) -> Line:
    first = _shown(i, entry, ranks, rule)
    cells = [
        Cell("Rank", first["rank"], first["rank_by"], "rank"),
        Cell("Method", link(entry.page, entry.title), entry.title),
        Cell("Task", link(task_page(entry.task), entry.task), entry.task),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Accuracy", first["accuracy"], first["accuracy_by"], "accuracy"),
        Cell("Gain", first["gain"], first["gain_by"], "gain"),
        *_last_cells(entry),
    ]
    every = json.dumps({name: _joined(_shown(i, entry, ranks, name)) for name in entry.rules()}, ensure_ascii=False)
    facts = {"data_task": entry.task, "data_backbone": entry.backbone, "data_protocol": _protocol(entry)}
    kept = {"data_name": entry.title, "data_bound": entry.row.is_bound, "data_rules": every}
    return Line(cells, "Method", {**facts, **kept})


def _last_cells(entry: Entry) -> list[Cell]:
    seeds = len(entry.row.runs)
    return [Cell("Seeds", seeds, seeds), Cell("Checks", badges(entry), len(entry.badges))]


def _shown(i: int, entry: Entry, ranks: Ranks, rule: str) -> dict[str, Any]:
    """What the cells that depend on the rule show, and by what they are sorted."""
    rank, scores = ranks.get(rule, {}).get(i), entry.row.scores(rule)
    gain = gain_over_source_only(entry.row, entry.rows, rule) if scores else None
    mean = interval(entry, rule)[0] if scores else None
    return {
        "rank": rank_text(rank),
        "rank_by": None if rank is None else round((rank.best + rank.worst) / 2 - (mean or 0) / 10, 4),
        "accuracy": accuracy_text(entry, rule),
        "accuracy_by": None if mean is None else round(mean, 6),
        "gain": gain_text(entry, gain),
        "gain_by": None if gain is None or entry.row.is_source_only else round(gain.mean, 6),
    }


def _joined(shown: dict[str, Any]) -> str:
    """As script.js reads it; a line of JSON would be four times as long, as every quote takes six letters in HTML."""
    return "|".join("" if value is None else str(value) for value in shown.values())


def rank_text(rank: Rank | None) -> str:
    """The places left open: "2" or "1–4"; a dash for who has none."""
    if rank is None:
        return "–"
    return f"{rank.best}" if rank.best == rank.worst else f"{rank.best}–{rank.worst}"


def accuracy_text(entry: Entry, rule: str) -> str:
    """Percent: "71.2 ± 1.3"; "n/a" where the rule chose nothing."""
    if not entry.row.scores(rule):
        return "n/a"
    mean, half, _ = interval(entry, rule)
    return percent(mean) if half is None else f"{percent(mean)} ± {percent(half)}"


def gain_text(entry: Entry, gain: PairedTest | None) -> str:
    """Points: "+3.1 [+1.0, +5.2]"; a dash for the reference itself."""
    if entry.row.is_source_only or gain is None:
        return "–"
    if np.isnan(gain.half_width):
        return f"{100 * gain.mean:+.1f}"
    low, high = 100 * (gain.mean - gain.half_width), 100 * (gain.mean + gain.half_width)
    return f"{100 * gain.mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def badges(entry: Entry) -> Markup:
    """What was checked of an entry; each leads to what it means."""
    made = [
        tag("a", name, class_=f"badge {slug(name)}", href=f"about.html#{slug(name)}", title=BADGES[name])
        for name in entry.badges
    ]
    return tag("span", *made, class_="badges")


def _protocol(entry: Entry) -> str:
    return str(entry.record.result["protocol"])


NUMERIC = ("Rank", "Accuracy", "Gain", "Seeds", *RULES.values())


def _table(name: str, lines: Sequence[Line], caption: str) -> Markup:
    titles = [cell.title for cell in lines[0].cells]
    heads = [
        tag("th", tag("button", one, type="button"), scope="col", class_="number" if one in NUMERIC else None)
        for one in titles
    ]
    rows = [tag("tr", *(_cell(cell, line.heading) for cell in line.cells), **line.facts) for line in lines]
    inside = (tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    table = tag("table", *inside, id=name, class_="sortable")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)  # keys can scroll it


def _cell(cell: Cell, heading: str) -> Markup:
    """An element whose title a narrow screen shows beside it."""
    name, scope = ("th", "row") if cell.title == heading else ("td", None)
    kept = {"data_title": cell.title, "data_by": "" if cell.by is None else cell.by, "data_of": cell.of}
    numeric = "number" if cell.title in NUMERIC else None
    return tag(name, tag("span", cell.shown, class_="value"), scope=scope, class_=numeric, **kept)


def _rule_cells(entry: Entry, rules: Sequence[str]) -> list[Cell]:
    """The accuracy by each rule."""
    means = [interval(entry, one)[0] if entry.row.scores(one) else None for one in rules]
    return [Cell(RULES[one], accuracy_text(entry, one), mean) for one, mean in zip(rules, means, strict=True)]


def task_page(name: str) -> str:
    """The file of a task's page."""
    return f"task_{slug(name)}.html"


def task(name: str, entries: Sequence[Entry], ranks: Ranks, rule: str) -> str:
    """All entries of a task, `entries` being those of the whole board, with an interval drawn for each."""
    here = [(i, one) for i, one in enumerate(entries) if one.task == name]
    here.sort(key=lambda one: _order(one[0], one[1], ranks, rule))
    rules = [one for one in RULES if any(one in entry.rules() for _, entry in here)]
    shown = [one for one in rules if one in (LAST, rule, ORACLE, "im", "source_validation")]
    bounds = _bounds_of([one for _, one in here], rule)
    lines = [_task_row((i, one), ranks, rule, shown, bounds) for i, one in here]
    return page(
        name,
        task_page(name),
        tag("h1", name),
        tag("p", f"{len(here)} entries. ", link("index.html" + fragment(task=name), "Show in the leaderboard")),
        _table("entries", lines, f"All entries; gains and intervals by the rule “{RULES[rule]}”"),
        tag("p", f"Rank, interval and gain: by “{RULES[rule]}”. ", NUMBERS_NOTE, " ", ORACLE_NOTE, class_="note"),
        tag("h2", "The task"),
        _task_facts(name, [one for _, one in here]),
    )


def _order(i: int, entry: Entry, ranks: Ranks, rule: str) -> tuple[bool, str, float, float]:
    """Within a task: by network, those without one last, then rank, then accuracy."""
    rank, scores = ranks[rule].get(i), entry.row.scores(rule)
    mean = float(np.mean(list(scores.values()))) if scores else 0.0
    shallow = entry.record.config["model"] is None
    return shallow, entry.backbone, (rank.best + rank.worst) / 2 if rank else np.inf, -mean


def _bounds_of(entries: Sequence[Entry], rule: str) -> tuple[float, float]:
    found = [interval(one, rule) for one in entries if one.row.scores(rule)]
    return min(mean - (half or 0) for mean, half, _ in found), max(mean + (half or 0) for mean, half, _ in found)


def _task_row(
    placed: tuple[int, Entry], ranks: Ranks, rule: str, shown: Sequence[str], bounds: tuple[float, float]
) -> Line:
    i, entry = placed
    first = _shown(i, entry, ranks, rule)
    verdict = verdict_cell(entry.row, gain_over_source_only(entry.row, entry.rows, rule)).text
    cells = [
        Cell("Rank", first["rank"], first["rank_by"]),
        Cell("Method", link(entry.page, entry.title), entry.title),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Interval", whisker(entry, rule, bounds), first["accuracy_by"]),
        *_rule_cells(entry, shown),
        Cell("Gain", first["gain"], first["gain_by"]),
        Cell("Verdict", verdict, verdict),
        *_last_cells(entry),
    ]
    return Line(cells, "Method")


def whisker(entry: Entry, rule: str, bounds: tuple[float, float]) -> Markup:
    """The interval drawn between the least and the greatest of its table."""
    if not entry.row.scores(rule):
        return tag("span", "n/a")
    mean, half, _ = interval(entry, rule)
    low, high = bounds
    at = [5 + 110 * (one - low) / ((high - low) or 1) for one in (mean - (half or 0), mean, mean + (half or 0))]
    drawn = (
        tag("line", x1=f"{at[0]:.1f}", x2=f"{at[2]:.1f}", y1=8, y2=8),
        tag("circle", cx=f"{at[1]:.1f}", cy=8, r=3.5),
    )
    return tag(
        "svg", *drawn, viewBox="0 0 120 16", width=120, height=16, role="img", aria_label=accuracy_text(entry, rule)
    )


def _task_facts(name: str, entries: Sequence[Entry]) -> Markup:
    records = [run for one in entries for run in one.row.runs]
    classes = records[0].result.get("classes", [])
    known = _spec(name)
    return _facts(
        ("Source", known.source if known else None),
        ("Target", known.target if known else None),
        ("Protocol", join_unique(_protocol(one) for one in entries)),
        ("Classes", f"{len(classes)}: {', '.join(map(str, classes[:40]))}{' …' if len(classes) > 40 else ''}"),
        ("Data", join_unique(str(one.environment.get("data", "unknown"))[:16] for one in records)),
        ("Split", join_unique(one.result["split"] for one in records if "split" in one.result)),
        ("Citation", known.citation if known else None),
    )


def _spec(name: str) -> tasks.TaskSpec | None:
    try:
        return tasks.spec(name)
    except UserError:  # of a submission from elsewhere
        return None


def _facts(*pairs: tuple[str, object]) -> Markup:
    """A list of terms; those without a value are left out."""
    return tag(
        "dl", *(tag("div", tag("dt", term), tag("dd", value)) for term, value in pairs if value not in (None, ""))
    )


def method(name: str, entries: Sequence[Entry], ranks: Ranks, rule: str) -> str:
    """A method's page, with a reproduction card for each of its entries; `entries` are those of the whole board."""
    here = [(i, one) for i, one in enumerate(entries) if one.method == name]
    shown = [one for one in RULES if any(one in entry.rules() for _, entry in here)]
    lines = [_method_row(_shown(i, one, ranks, rule), one, shown) for i, one in here]
    return page(
        name,
        here[0][1].page,
        tag("h1", name),
        _about_method(here[0][1]),
        _table("entries", lines, f"By selection rule; rank and gain by “{RULES[rule]}”"),
        tag("p", f"Rank and gain: by “{RULES[rule]}”. ", NUMBERS_NOTE, " ", ORACLE_NOTE, class_="note"),
        tag("h2", "Reproduction cards"),
        *(_card(one, rule, opened=len(here) == 1) for _, one in here),
    )


def _method_row(first: Mapping[str, Any], entry: Entry, shown: Sequence[str]) -> Line:
    cells = [
        Cell("Rank", first["rank"], first["rank_by"]),
        Cell("Entry", entry.row.name, entry.row.name),
        Cell("Task", link(task_page(entry.task), entry.task), entry.task),
        Cell("Backbone", entry.backbone, entry.backbone),
        Cell("Gain", first["gain"], first["gain_by"]),
        *_rule_cells(entry, shown),
        *_last_cells(entry),
    ]
    return Line(cells, "Entry")


def _about_method(entry: Entry) -> Markup:
    """What it is: in the words of its class, or those who submit it."""
    manifest = entry.source.manifest
    doc = documentation(entry)
    said_of = tag("p", doc.splitlines()[0], class_="lead") if doc else Markup("")
    if manifest is None:
        return join(said_of, tag("p", references(doc)) if doc else "")
    links = link(manifest["link"], manifest["link"]) if manifest["link"] else None
    facts = _facts(
        ("Submitted by", ", ".join(manifest["authors"])),
        ("Declared rule", RULES[manifest["rule"]]),
        ("More", links),
        ("Citation", block(manifest["citation"]) if manifest["citation"] else None),
        ("Flagged", "; ".join(f"{one.check}: {one.what}" for one in entry.source.flags) or None),
    )
    return join(said_of, facts)


def references(doc: str) -> str:
    """The paragraph of a docstring that names its paper."""
    found = [one for one in doc.split("\n\n") if one.startswith("References:")]
    return " ".join(found[0].split()) if found else ""


def config_file(entry: Entry) -> str:
    """The file with the config of an entry's first seed."""
    return f"config_{entry.record.id}.json" if entry.record.id.isalnum() else f"config_{slug(entry.record.id)}.json"


def _card(entry: Entry, rule: str, opened: bool) -> Markup:
    """All that it takes to make an entry again, and what to expect."""
    runs = entry.row.runs
    where = [run.environment for run in runs]
    training = entry.record.config["training"] or {}
    file = config_file(entry)
    facts = _facts(
        ("Target accuracy", f"{accuracy_text(entry, rule)} by “{RULES[rule]}”, {len(runs)} seeds"),
        ("Seeds", ", ".join(str(run.config["seed"]) for run in runs[:64])),
        ("Make a run again", join(code(f"da-bench run {file}"), " with ", link(file, file))),
        ("First made by", code(join_unique(one.get("command") or "unknown" for one in where))),
        ("Commit", code(join_unique(one.get("commit") or "unknown" for one in where))),
        ("Uncommitted changes", "yes" if any(one.get("dirty") for one in where) else "no"),
        ("Device", join_unique(f"{one.get('device')} x {one.get('device_count', 1)}" for one in where)),
        (
            "Packages",
            join_unique(f"{name} {version}" for one in where for name, version in one.get("packages", {}).items()),
        ),
        ("Data", code(join_unique(str(one.get("data", "unknown"))[:16] for one in where))),
        ("Training", ", ".join(f"{key}={value}" for key, value in training.items())),
        ("Seconds a run", seconds_cell(entry.row).text),
        ("Known failures of checks", join_unique(entry.record.result.get("expected_failed_checks", {}).values())),
        ("Diverged", f"{entry.row.diverged} of {len(runs)}" if entry.row.diverged else None),
    )
    fields = block(json.dumps(entry.record.config["method"], indent=1, ensure_ascii=False))
    title = tag("summary", f"{entry.row.name} on {entry.task}, {entry.backbone}")
    return tag("details", title, facts, tag("p", "Fields of the method:"), fields, class_="card", open=opened)


def listing(kind: str, entries: Sequence[Entry]) -> str:
    """The page "tasks.html" or "methods.html": all of them, with a link to each."""
    of_task = kind == "tasks"
    pages = sorted({(one.task, task_page(one.task)) if of_task else (one.method, one.page) for one in entries})
    counts = {name: sum(name == (one.task if of_task else one.method) for one in entries) for name, _ in pages}
    rows = [
        tag("li", link(file, name), tag("span", f" {counts[name]} {'entry' if counts[name] == 1 else 'entries'}"))
        for name, file in pages
    ]
    title = kind.capitalize()
    return page(title, f"{kind}.html", tag("h1", title), tag("ul", *rows, class_="list"))


def about(rule: str) -> str:
    """What the numbers, ranks and badges mean, and how to submit."""
    terms = [tag("div", tag("dt", name, id=slug(name)), tag("dd", meaning)) for name, meaning in BADGES.items()]
    return page(
        "About",
        "about.html",
        tag("h1", "How to read it"),
        tag("p", NUMBERS_NOTE),
        tag("p", "Without a rank are upper bounds, claimed and flagged entries, and the oracle. ", ORACLE_NOTE),
        tag(
            "p",
            "A rule other than the last step rests on validator scores of the record: what was computed again is the "
            "accuracy at the evaluation that they chose, for no record keeps the logits behind them.",
        ),
        tag("p", f"Shown first: the rule “{RULES[rule]}”. Ranks compare entries of one task and one network only."),
        tag("h2", "Checks"),
        tag("dl", *terms),
        tag("h2", "Submit"),
        tag("p", "Submitted are predictions, never numbers: all that is shown is computed from them."),
        block(
            'da-bench submit pack --name "My method" --authors "A. Author" --methods my_method --out mine.zip\n'
            "da-bench submit check mine.zip --against results\n"
            "da-bench submit check mine.zip --against results --rerun 1 --audit --verdict verdicts/mine.json"
        ),
        tag(
            "p",
            "Refused: anything but strict JSON and plain arrays of the known layout; a hash, id, seed or number that "
            "does not follow from the files; a run that is another seed's when made again on the same kind of "
            "machine. Flagged: predictions that another method's run has too; accuracy above training on target "
            "labels; no error at all; errors that do not lie where others err.",
        ),
    )
