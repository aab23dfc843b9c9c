"""Records and submissions -> entries: one a setting and task, with what was checked of it, and its rank."""

import hashlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.evaluation.validators import ORACLE, RULES
from da_bench.leaderboard.submission.findings import Finding
from da_bench.methods import METHODS
from da_bench.reporting.stats.intervals import CONFIDENCE, t_interval
from da_bench.reporting.stats.paired import paired_t_test
from da_bench.reporting.stats.rank_tests import holm
from da_bench.reporting.tables.naming import format_setting
from da_bench.reporting.tables.rows import Row, align_seeds, build_rows, group_by_task
from da_bench.studies.records import Record

BADGES = {
    "recomputed": "every accuracy was computed again from the stored predictions and the task's labels",
    "re-run": "a run of it was made again from its config, to the same bits",
    "audited": "shown wrong target labels, which no study shows, its start and its step are the same",
    "claimed": "the data were not at hand: the numbers are the record's own, and have no rank",
    "flagged": "something of it is improbable and waits for a person; it has no rank",
    "preliminary": "fewer than five seeds",
    "upper bound": "trained on target labels; no method, and without a rank",
}
ENOUGH_SEEDS = 5


class Source(NamedTuple):
    """Where records come from. manifest: of a submission, None of a results folder; recomputed: ids of records whose
    numbers are; rerun: ids of those made again; audited: names of methods; flags: what is improbable.
    """

    manifest: Mapping[str, Any] | None
    records: list[Record]
    recomputed: frozenset[str]
    rerun: frozenset[str]
    audited: frozenset[str]
    flags: tuple[Finding, ...] = ()


class Entry(NamedTuple):
    """row: of `rows`, which are all of its task, whatever their source; backbone: what the board calls its network."""

    row: Row
    rows: list[Row]
    source: Source
    backbone: str

    @property
    def record(self) -> Record:
        """One of its records."""
        return self.row.first

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.record.config["task"])

    @property
    def method(self) -> str:
        """The registered name of the method, or of the submission."""
        if self.row.is_bound:
            return "target_only"
        own = str(self.record.config["method"]["name"])
        return f"{self.source.manifest['name']} ({own})" if self.source.manifest else own

    @property
    def title(self) -> str:
        """The row's name, after the submission's where it is of one."""
        return f"{self.source.manifest['name']}: {self.row.name}" if self.source.manifest else self.row.name

    @property
    def page(self) -> str:
        """The file of its method's page."""
        return f"method_{slug(self.method)}.html"

    @property
    def badges(self) -> tuple[str, ...]:
        """Which of BADGES it has."""
        ids = {run.id for run in self.row.runs}
        has = {
            "recomputed": ids <= self.source.recomputed,
            "re-run": bool(ids & self.source.rerun),
            "audited": self.record.config["method"]["name"] in self.source.audited,
            "claimed": not ids <= self.source.recomputed,
            "flagged": any(one.where in ids for one in self.source.flags),
            "preliminary": len(ids) < ENOUGH_SEEDS and self.record.config["model"] is not None,
            "upper bound": self.row.is_bound,
        }
        return tuple(name for name, holds in has.items() if holds)

    @property
    def ranked(self) -> bool:
        """Whether it competes."""
        return not {"claimed", "flagged", "upper bound"} & set(self.badges)

    def rules(self) -> list[str]:
        """The selection rules that it has, in the order of RULES."""
        return [rule for rule in RULES if self.row.scores(rule)]


def entries_of(sources: Iterable[Source]) -> list[Entry]:
    """Entries by task, each task's in the order of its rows."""
    sources = list(sources)
    names = backbones([record for source in sources for record in source.records])
    pairs = [
        (source, row)
        for source in sources
        for records in (group_by_task(source.records).values() if source.records else ())
        for row in build_rows(records)
        if row.runs
    ]
    rows: dict[str, list[Row]] = defaultdict(list)
    for _, row in pairs:
        rows[row.first.config["task"]].append(row)
    found = [Entry(row, rows[row.first.config["task"]], source, names[network(row.first)]) for source, row in pairs]
    return sorted(found, key=lambda one: one.task)


def network(record: Record) -> str:
    """What makes two networks the same: what is trained, and whose features it is trained on."""
    return json.dumps([record.config["model"], record.config.get("features")], sort_keys=True)


def backbones(records: Iterable[Record]) -> dict[str, str]:
    """Network -> its name, with the fields in which networks of that name differ: "mlp (hidden=[64])"."""
    configs = {network(one): one.config for one in records}
    named: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for config in configs.values():
        named[_kind(config)].append(config["model"] or {})
    found = {}
    for key, config in configs.items():
        model, name = config["model"] or {}, _kind(config)
        differ = [field for field in model if len({json.dumps(one.get(field)) for one in named[name]}) > 1]
        values = ", ".join(f"{field}={format_setting(model[field])}" for field in differ)
        found[key] = f"{name} ({values})" if differ else name
    return found


def _kind(config: Mapping[str, Any]) -> str:
    """Its name, with that of the weights on whose features it stands: "bottleneck on resnet50-timm-0123456789ab"."""
    name = config["model"]["name"] if config["model"] else "none (shallow)"
    return f"{name} on {config['features']}" if config.get("features") else name


class Rank(NamedTuple):
    """The places, from 1, that the tests leave open."""

    best: int
    worst: int


def ranks(entries: Sequence[Entry], rule: str) -> dict[int, Rank]:
    """Index of an entry -> its rank among those of its task and backbone. The oracle has none.

    Better and worse are those told apart from it by paired t tests over common seeds, p < .05 after Holm's correction
    for its comparisons; whoever cannot be told apart may be on either side.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, one in enumerate(entries):
        if one.ranked and rule != ORACLE and one.row.scores(rule):
            groups[one.task, one.backbone].append(i)
    return {i: _rank(i, group, entries, rule) for group in groups.values() for i in group}


def _rank(i: int, group: Sequence[int], entries: Sequence[Entry], rule: str) -> Rank:
    mine, gains, ps = entries[i].row.scores(rule), [], []
    for j in group:
        ours, theirs = align_seeds(mine, entries[j].row.scores(rule)) if j != i else ([], [])
        found = paired_t_test(ours, theirs) if ours else None
        gains.append(found.mean if found else 0.0)
        ps.append(found.p if found and np.isfinite(found.p) else 1.0)
    apart = holm(np.array([p for j, p in zip(group, ps, strict=True) if j != i])) < 1 - CONFIDENCE
    signs = np.array([gain for j, gain in zip(group, gains, strict=True) if j != i])
    return Rank(1 + int((apart & (signs < 0)).sum()), len(group) - int((apart & (signs > 0)).sum()))


def documentation(entry: Entry) -> str:
    """The docstring of an entry's method; nothing of a method that is not known here."""
    name = entry.record.config["method"]["name"]
    return inspect.cleandoc(METHODS[name].__doc__ or "") if name in METHODS else ""


def interval(entry: Entry, rule: str) -> tuple[float, float | None, int]:
    """Mean target accuracy, half width of its 95 % t interval (None for one seed) and seeds."""
    found = t_interval(list(entry.row.scores(rule).values()))
    return found.mean, None if np.isnan(found.half_width) else found.half_width, found.n


def slug(name: str) -> str:
    """A file name of its own for any name: itself where it is plain, else its letters and a checksum."""
    if re.fullmatch(r"[a-z0-9_]{1,60}", name):
        return name
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{letters}.{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
