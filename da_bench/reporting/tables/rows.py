"""Records -> rows: runs that differ in nothing but their seed share a row; everything else has a row of its own."""

import dataclasses
import functools
import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from da_bench.core.config import UserError, did_you_mean
from da_bench.evaluation.validators import RULES
from da_bench.studies.records import Record, canonical

TARGET_ONLY = "target only (upper bound)"
TARGET_ONLY_HELD_OUT = "target only, held-out rows (upper bound)"
SOURCE_ONLY = "source_only"
CLASSIFIERS = {"1nn": "nearest_neighbour", "logistic": "logistic_regression", "svm": "svm"}  # by `classifier`

# Not part of a row's settings: the task heads the table, seeds share a row, the schema is the file format's,
# and `labels_from` is what the row is called anyway.
APART = ("task", "seed", "schema", "labels_from", "shots")


@dataclasses.dataclass(frozen=True)
class Row:
    """Runs of one setting on one task, by seed.

    runs: finished runs, diverged ones included; skipped: runs that were not made, failed: that left no result, both
    with their reason.
    """

    name: str
    runs: tuple[Record, ...]
    skipped: tuple[Record, ...] = ()
    failed: tuple[Record, ...] = ()

    @property
    def first(self) -> Record:
        """One of its records: they all have the same settings."""
        return (self.runs + self.skipped + self.failed)[0]

    @functools.cached_property
    def context(self) -> dict[str, str]:
        """What rows must share to be compared: every setting that is not the method's."""
        return {name: text for name, text in _texts(self.first).items() if not name.startswith("method.")}

    @functools.cached_property
    def is_source_only(self) -> bool:
        """Whether it is a reference: trained on the source alone."""
        return not self.is_bound and not self.first.result["adapts"]

    @property
    def is_bound(self) -> bool:
        """Whether it was trained on target labels, all or some."""
        return self.first.config["labels_from"] != "source"

    @property
    def is_upper_bound(self) -> bool:
        """Whether it was trained on all labels of the target's training split."""
        return _is_upper_bound(self.first)

    @property
    def diverged(self) -> int:
        """How many of its runs diverged."""
        return sum(run.result["status"] == "diverged" for run in self.runs)

    def scores(self, rule: str, quantity: str = "target_accuracy") -> dict[int, float]:
        """Seed -> `quantity` as `rule` reports it; runs without a finite one are left out."""
        found = {run.config["seed"]: run.result["rules"].get(rule, {}).get(quantity) for run in self.runs}
        return _known(found)

    def distances(self) -> dict[int, float]:
        """Seed -> proxy A-distance of the features."""
        return _known({run.config["seed"]: run.result.get("proxy_a_distance") for run in self.runs})


def _known(found: dict[int, float | None]) -> dict[int, float]:
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def align_seeds(*scores: dict[int, float]) -> list[list[float]]:
    """The values of each at the seeds that all of them have, in the same order."""
    seeds = common_seeds(*scores)
    return [[one[seed] for seed in seeds] for one in scores]


def common_seeds(*scores: dict[int, float]) -> list[int]:
    """The seeds that all of them have, in order."""
    return sorted(set.intersection(*map(set, scores)))


def group_for_tables(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Task -> what stands in its table, tasks in order of first appearance.

    An upper bound of a transductive task is scored on the rows that it trained on. That of the pair's inductive task is
    not: where nothing else was run on this, it is lent to the transductive one, as `HELD_OUT`.

    Raises:
        UserError: for no records.
    """
    tasks = group_by_task(records)
    lenders = {task: _others(task, tasks) for task, group in tasks.items() if all(map(_is_upper_bound, group))}
    lent = {task: [one for lender, to in lenders.items() if task in to for one in tasks[lender]] for task in tasks}
    return {task: [*group, *lent[task]] for task, group in tasks.items() if not lenders.get(task)}


def group_by_task(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Task -> its own records, tasks in order of first appearance.

    Raises:
        UserError: for no records.
    """
    if not records:
        raise UserError(
            "no records to report: run `da-bench run experiments/quickstart.py`, and name the folder it fills"
        )
    tasks: dict[str, list[Record]] = {}
    for record in records:
        tasks.setdefault(_task(record), []).append(record)
    return tasks


def _task(record: Record) -> str:
    return str(record.config["task"])


def _others(task: str, tasks: Iterable[str]) -> list[str]:
    """Those of the same pair in another protocol, where `task` is inductive."""
    return [one for one in tasks if one.startswith(f"{task}@")]


def _is_upper_bound(record: Record) -> bool:
    return record.config["labels_from"] == "target" and not record.config.get("shots")


def check_rule(rule: str) -> None:
    """Raise UserError for an unknown selection rule."""
    if rule not in RULES:
        raise UserError(f"unknown rule '{rule}'{did_you_mean(rule, RULES)}")


def build_rows(records: Sequence[Record]) -> list[Row]:
    """Rows of one task: source only first, then in order of first appearance, the upper bound last.

    Raises:
        UserError: for two results of one setting and seed.
    """
    tasks = set(map(_task, records))
    lenders = {task for task in tasks if _others(task, tasks)}
    rows = [row for family in _families(records).values() for row in _family_rows(family)]
    named = [_called_held_out(row) if _task(row.first) in lenders else row for row in rows]
    return sorted(named, key=lambda row: (not row.is_source_only, row.is_bound))


def _families(records: Iterable[Record]) -> dict[Any, list[Record]]:
    families: dict[Any, list[Record]] = {}
    for record in records:
        families.setdefault(_family(record), []).append(record)
    return families


def _called_held_out(row: Row) -> Row:
    return dataclasses.replace(row, name=row.name.replace(TARGET_ONLY, TARGET_ONLY_HELD_OUT, 1))


def _family_rows(family: list[Record]) -> list[Row]:
    fields = varying_settings(family)
    groups: dict[Any, list[Record]] = {}
    for record in family:
        groups.setdefault(_key(record.canonical, fields), []).append(record)
    return [_row(row_name(group[0], fields), group) for group in groups.values()]


def _row(name: str, group: list[Record]) -> Row:
    group = sorted(group, key=lambda record: record.config["seed"])
    for one, other in itertools.pairwise(group):
        if one.config["seed"] == other.config["seed"]:
            raise UserError(
                f"two results of '{name}' on '{one.config['task']}' with seed {one.config['seed']} "
                f"(records {one.id} and {other.id}): report one of the two folders, or remove one record"
            )
    unmade = {status: tuple(one for one in group if one.result["status"] == status) for status in ("skipped", "failed")}
    runs = tuple(one for one in group if one.result["status"] not in unmade)
    return Row(name, runs, **unmade)


def row_names(records: Sequence[Record]) -> list[str]:
    """Each method's name and the fields which vary among its records, as "dann (weight=6)", each once."""
    fields = {key: varying_settings(family) for key, family in _families(records).items()}
    return list(dict.fromkeys(row_name(one, fields[_family(one)]) for one in records))


def row_name(record: Record, fields: Sequence[str]) -> str:
    """The method's name and its values of `fields`, which are names of its flat settings."""
    found = run_settings(record)
    short = [field.rpartition(".")[2] for field in fields]
    labels = [
        name if short.count(name) == 1 and name != "name" else field for field, name in zip(fields, short, strict=True)
    ]
    values = ", ".join(
        f"{label}={format_setting(found[field])}" for label, field in zip(labels, fields, strict=True) if field in found
    )
    name = _called(record)
    return f"{name} ({values or 'unset'})" if fields else name


def _called(record: Record) -> str:
    """The method, and what it knew of the target's labels."""
    method, shots = record.config["method"]["name"], record.config.get("shots")
    few = f"{shots} target labels a class"
    if record.config["labels_from"] == "target":
        return f"target only, {few}" if shots else TARGET_ONLY
    return f"{method} + {few}" if shots else method


def _family(record: Record) -> tuple[str, str, str]:
    return record.config["labels_from"], _called(record), _task(record).partition("@")[2]


def run_settings(record: Record) -> dict[str, Any]:
    """Flat settings of a run, without its task and seed: {"method.name": "dann", "method.weight": 1.0, ...}."""
    return {name: value for name, value in record.flat.items() if name not in APART}


def _texts(record: Record) -> dict[str, str]:
    return {name: text for name, text in record.canonical.items() if name not in APART}


def varying_settings(records: Iterable[Record]) -> list[str]:
    """Names of the settings which are not the same in all `records`, names of things first, in an order of their own.

    One that only some have varies too. Records of another pair come in another order, and their rows have one name.
    """
    found = [record.canonical for record in records]
    names = {name for texts in found for name in texts}.difference(APART)
    ordered = sorted(names, key=lambda name: (not name.endswith(".name"), name))
    return [name for name in ordered if len({texts.get(name) for texts in found}) > 1]


def _key(texts: dict[str, str], names: Iterable[str]) -> tuple[str | None, ...]:
    return tuple(map(texts.get, names))


def method_key(record: Record) -> tuple[Any, ...]:
    """What makes a method the same on two tasks: its name and every field of its own."""
    names = sorted(name for name in record.flat if name.startswith("method."))
    return (*_family(record), *names, *_key(record.canonical, names))


def format_setting(value: Any) -> str:
    """A setting's value as a row's name shows it, with all its digits: 6.0 -> "6"."""
    return value if isinstance(value, str) else canonical(value)


def reference_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row without adaptation that has the same model and training as `row`.

    Where there are several, source only, and of a classical method its own last classifier.
    """
    found, config = [one for one in rows if one.is_source_only], row.first.config
    own = SOURCE_ONLY if config["training"] else CLASSIFIERS.get(config["method"].get("classifier", "logistic"))
    return _partner(row, sorted(found, key=lambda one: one.first.config["method"]["name"] != own))


def upper_bound_row(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row trained on target labels with the same model and training as `row`, scored on held-out rows if any is."""
    bounds = [one for one in rows if one.is_upper_bound]
    return _partner(row, sorted(bounds, key=lambda one: _task(one.first) == _task(row.first)))


def _partner(row: Row, candidates: list[Row]) -> Row | None:
    return next((one for one in candidates if one.runs and one.context == row.context), None)


def sweep_field(rows: Sequence[Row]) -> str | None:
    """The one float field in which three or more rows of one method differ; None where there is no such thing."""
    fields = varying_settings(row.first for row in rows)
    if len(rows) < 3 or len(fields) != 1:
        return None
    values = [run_settings(row.first).get(fields[0]) for row in rows]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return fields[0] if numbers and any(isinstance(value, float) for value in values) else None


def find_sweeps(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """(field, rows in order of its value) of each method that was run at three or more values of one float field."""
    families: dict[Any, list[Row]] = {}
    for row in rows:
        if row.runs:
            families.setdefault(_family(row.first), []).append(row)
    found = [(sweep_field(family), family) for family in families.values()]
    return [(field, sorted(family, key=lambda row: run_settings(row.first)[field])) for field, family in found if field]


def single_line(text: object) -> str:
    """One line without control characters: a name from a file must not move the cursor or start a new row."""
    given = str(text)
    if not given.isprintable():
        given = "".join(one for one in given if one.isspace() or not unicodedata.category(one).startswith("C"))
    return " ".join(given.split())


def join_unique(values: Iterable[object]) -> str:
    """Distinct values in order of first appearance, as text."""
    return ", ".join(dict.fromkeys(map(single_line, dict.fromkeys(map(str, values)))))


def describe_seed_counts(rows: Sequence[Row]) -> str:
    """How many seeds the rows have: "5 seeds a row", or "3 to 5 seeds a row"."""
    counts = [len(row.runs) for row in rows if row.runs] or [0]
    few, many = min(counts), max(counts)
    return f"{few} to {many} seeds a row" if few != many else f"{many} {'seed' if many == 1 else 'seeds'} a row"


def provenance(records: Sequence[Record]) -> list[str]:
    """Where records come from: command, commit, device, data, steps; first of all, where they disagree."""
    found = _sources(records)
    loud = [f"WARNING: these records disagree on {name}: {found[name]}" for name in _disagreements(records)]
    return [*loud, "; ".join(f"{name} {value}" for name, value in found.items() if value)]


def _sources(records: Sequence[Record]) -> dict[str, str]:
    machines = [record.environment for record in records]
    steps = [(record.config["training"] or {}).get("steps") for record in records]
    return {
        "command": join_unique(f"`{one['command']}`" for one in machines if one.get("command")),
        "commit": join_unique(_commit(one) for one in machines),
        "device": join_unique(_device(one) for one in machines),
        "data": join_unique(str(one.get("data", "unknown"))[:12] for one in machines),
        "protocol": join_unique(record.result["protocol"] for record in records if "protocol" in record.result),
        "steps": join_unique(count for count in steps if count is not None),
    }


def _disagreements(records: Sequence[Record]) -> list[str]:
    machines = [record.environment for record in records]
    seen = {
        "commit": {_commit(one) for one in machines},
        "device": {_device(one) for one in machines},
        # Two tasks have two data sets; one task must have one.
        "data": {} if len(set(map(_task, records))) > 1 else {str(one.get("data")) for one in machines},
    }
    return [name for name, values in seen.items() if len(values) > 1]


def _commit(environment: dict[str, Any]) -> str:
    return str(environment.get("commit") or "unknown") + (" + uncommitted changes" if environment.get("dirty") else "")


def _device(environment: dict[str, Any]) -> str:
    count = environment.get("device_count", 1)
    return f"{environment.get('device', 'unknown')}" + (f" x {count}" if count != 1 else "")
