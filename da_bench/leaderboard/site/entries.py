"""Records and submissions as leaderboard entries: one for each setting and task, with its badges and rank."""

import hashlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from da_bench.evaluation.validators import ORACLE, RULES
from da_bench.leaderboard.submission.check import ENOUGH_SEEDS
from da_bench.leaderboard.submission.findings import Finding
from da_bench.methods import METHODS
from da_bench.reporting.stats.intervals import CONFIDENCE, t_interval
from da_bench.reporting.stats.paired import paired_t_test
from da_bench.reporting.stats.rank_tests import holm
from da_bench.reporting.tables.naming import format_setting
from da_bench.reporting.tables.rows import Row, align_seeds, build_rows, group_by_task
from da_bench.studies.records import Record

BADGES = {
    "recomputed": "every accuracy was recomputed from the stored predictions and the labels of the task",
    "re-run": "at least one run was repeated from its config and gave the same bits",
    "audited": "with permuted target labels it starts and trains exactly as before, so the labels do not reach it",
    "archived": "from a study's archive of records, which keeps no predictions: the numbers are those of the records",
    "claimed": "the data were not available: the numbers are the submitter's own and have no rank",
    "flagged": "something about it is improbable and awaits a person's decision; it has no rank",
    "preliminary": "fewer than five seeds",
    "upper bound": "trained on target labels; not a method, and without a rank",
}
UNRANKED = frozenset({"claimed", "flagged", "upper bound"})


class Source(NamedTuple):
    """Where records come from, and what was checked about them.

    Attributes:
        manifest: manifest of a submission; None for results folders.
        records: finished runs.
        recomputed: ids of the records whose numbers were recomputed from their predictions.
        rerun: ids of the records whose runs were repeated with the same result.
        audited: names of methods that passed the check against label leakage.
        flags: findings that a person must look at.
        archived: ids of the records from a study's archive, without predictions.
    """

    manifest: Mapping[str, Any] | None
    records: list[Record]
    recomputed: frozenset[str]
    rerun: frozenset[str]
    audited: frozenset[str]
    flags: tuple[Finding, ...] = ()
    archived: frozenset[str] = frozenset()


class Entry(NamedTuple):
    """One row of the leaderboard.

    Attributes:
        row: runs of one setting on one task.
        rows: all rows of the task from every source; the reference of a gain is among them.
        source: where the records come from.
        backbone: the name of its network on the leaderboard.
    """

    row: Row
    rows: list[Row]
    source: Source
    backbone: str

    @property
    def record(self) -> Record:
        """The first of its records; all have the same setting."""
        return self.row.first

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.record.config["task"])

    @property
    def protocol(self) -> str:
        """Protocol of the task, "inductive" or "transductive"."""
        return str(self.record.result["protocol"])

    @property
    def method(self) -> str:
        """Registered name of the method, preceded by that of the submission if it is from one."""
        if self.row.uses_target_labels:
            return "target_only"
        name = str(self.record.config["method"]["name"])
        return f"{self.source.manifest['name']} ({name})" if self.source.manifest else name

    @property
    def title(self) -> str:
        """Name of the row, preceded by that of the submission if it is from one."""
        return f"{self.source.manifest['name']}: {self.row.name}" if self.source.manifest else self.row.name

    @property
    def badges(self) -> tuple[str, ...]:
        """The names among `BADGES` that apply."""
        ids = {run.id for run in self.row.runs}
        applies = {
            "recomputed": ids <= self.source.recomputed,
            "re-run": bool(ids & self.source.rerun),
            "audited": self.record.config["method"]["name"] in self.source.audited,
            "archived": bool(ids & self.source.archived),
            "claimed": not ids <= self.source.recomputed | self.source.archived,
            "flagged": any(flag.where in ids for flag in self.source.flags),
            "preliminary": len(ids) < ENOUGH_SEEDS and self.record.config["model"] is not None,
            "upper bound": self.row.uses_target_labels,
        }
        return tuple(name for name in BADGES if applies[name])

    @property
    def is_ranked(self) -> bool:
        """Whether it has a rank."""
        return not UNRANKED & set(self.badges)

    def rules(self) -> list[str]:
        """The selection rules that it has scores for, in the order of RULES."""
        return [rule for rule in RULES if self.row.scores(rule)]


def entries_of(sources: Iterable[Source]) -> list[Entry]:
    """Entries of all sources, sorted by task; within a task in the order of the rows."""
    sources = list(sources)
    names = backbone_names([record for source in sources for record in source.records])
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
    entries = [
        Entry(row, rows[row.first.config["task"]], source, names[network_key(row.first)]) for source, row in pairs
    ]
    return sorted(entries, key=lambda entry: entry.task)


def network_key(record: Record) -> str:
    """Equal for records that train the same network on the same features."""
    return json.dumps([record.config["model"], record.config.get("features")], sort_keys=True)


def backbone_names(records: Iterable[Record]) -> dict[str, str]:
    """Network key -> name, with the fields in which networks of that name differ: "mlp (hidden=[64])"."""
    configs = {network_key(record): record.config for record in records}
    models_by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for config in configs.values():
        models_by_name[_plain_name(config)].append(config["model"] or {})
    names = {}
    for key, config in configs.items():
        model, name = config["model"] or {}, _plain_name(config)
        different = [
            field for field in model if len({json.dumps(other.get(field)) for other in models_by_name[name]}) > 1
        ]
        values = ", ".join(f"{field}={format_setting(model[field])}" for field in different)
        names[key] = f"{name} ({values})" if different else name
    return names


def _plain_name(config: Mapping[str, Any]) -> str:
    """The network's name with its pretrained features: "bottleneck on resnet50-timm-0123456789ab"."""
    name = config["model"]["name"] if config["model"] else "none (classical)"
    return f"{name} on {config['features']}" if config.get("features") else name


class Rank(NamedTuple):
    """The best and the worst rank, counted from 1, that the tests leave open."""

    best: int
    worst: int


def ranks(entries: Sequence[Entry], rule: str) -> dict[int, Rank]:
    """Ranks by a selection rule among the entries of one task and backbone.

    An entry is better or worse than another if paired t tests over their common seeds say so, p < .05 after
    Holm's correction for all comparisons of that entry. Entries that do not differ share their ranks.

    Args:
        entries: all entries of the leaderboard.
        rule: name of a selection rule. The oracle gives no ranks.

    Returns:
        Index of an entry -> its rank; entries without a rank are missing.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        if entry.is_ranked and rule != ORACLE and entry.row.scores(rule):
            groups[entry.task, entry.backbone].append(i)
    return {i: _rank(i, group, entries, rule) for group in groups.values() for i in group}


def _rank(i: int, group: Sequence[int], entries: Sequence[Entry], rule: str) -> Rank:
    scores, gains, p_values = entries[i].row.scores(rule), [], []
    for j in group:
        if j == i:
            continue
        own, others = align_seeds(scores, entries[j].row.scores(rule))
        test = paired_t_test(own, others) if own else None
        gains.append(test.mean if test else 0.0)
        p_values.append(test.p if test and np.isfinite(test.p) else 1.0)
    differs = holm(np.array(p_values)) < 1 - CONFIDENCE
    better, worse = np.array(gains) > 0, np.array(gains) < 0
    return Rank(1 + int((differs & worse).sum()), len(group) - int((differs & better).sum()))


def documentation(entry: Entry) -> str:
    """Docstring of the entry's method; empty for a method that is not registered here."""
    name = entry.record.config["method"]["name"]
    return inspect.cleandoc(METHODS[name].__doc__ or "") if name in METHODS else ""


def interval(entry: Entry, rule: str) -> tuple[float, float | None, int]:
    """Mean target accuracy in [0, 1], half width of its 95 % t interval (None for one seed), number of seeds."""
    estimate = t_interval(list(entry.row.scores(rule).values()))
    return estimate.mean, None if np.isnan(estimate.half_width) else estimate.half_width, estimate.n


def slug(name: str) -> str:
    """A file name for any text: the text itself if it is plain, else its letters and a checksum."""
    if re.fullmatch(r"[a-z0-9_]{1,60}", name):
        return name
    letters = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return f"{letters}.{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
