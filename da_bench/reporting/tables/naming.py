"""Names of rows: the method and the settings that vary among its runs."""

from collections.abc import Iterable, Sequence
from typing import Any

from da_bench.studies.records import Record, canonical

TARGET_ONLY = "target only (upper bound)"
TARGET_ONLY_HELD_OUT = "target only, held-out rows (upper bound)"
# Not settings of a row: the task is the table's, seeds share a row, the schema is the file format's, and the name of
# the row says which labels were used.
NOT_SETTINGS = ("task", "seed", "schema", "labels_from", "shots")

MethodFamily = tuple[str, str, str]  # labels_from, method with its labels, protocol


def task_name(record: Record) -> str:
    """Name of a record's task, with its protocol suffix."""
    return str(record.config["task"])


def run_settings(record: Record) -> dict[str, Any]:
    """Flat settings of a run without task and seed: {"method.name": "dann", "method.weight": 1.0, ...}."""
    return {name: value for name, value in record.flat.items() if name not in NOT_SETTINGS}


def method_family(record: Record) -> MethodFamily:
    """Return what all runs of a method share, whatever its settings: labels, name and protocol."""
    return record.config["labels_from"], _method_name(record), task_name(record).partition("@")[2]


def group_by_family(records: Iterable[Record]) -> dict[MethodFamily, list[Record]]:
    """The records of each method family, in order of first appearance."""
    families: dict[MethodFamily, list[Record]] = {}
    for record in records:
        families.setdefault(method_family(record), []).append(record)
    return families


def method_key(record: Record) -> tuple[Any, ...]:
    """Key that is equal for the same method on two tasks: its family and every field of the method."""
    names = sorted(name for name in record.flat if name.startswith("method."))
    return (*method_family(record), *names, *settings_key(record, names))


def settings_key(record: Record, names: Iterable[str]) -> tuple[str | None, ...]:
    """Values of the named settings as text."""
    return tuple(map(record.canonical.get, names))


def varying_settings(records: Iterable[Record]) -> list[str]:
    """Names of the settings that differ among the records, names of components first.

    A setting that only some records have varies as well. The order does not depend on the order of the records, so
    that a method has the same name on every pair.
    """
    texts = [record.canonical for record in records]
    names = {name for settings in texts for name in settings}.difference(NOT_SETTINGS)
    ordered = sorted(names, key=lambda name: (not name.endswith(".name"), name))
    return [name for name in ordered if len({settings.get(name) for settings in texts}) > 1]


def row_names(records: Sequence[Record]) -> list[str]:
    """Distinct row names of the records, such as "dann (weight=6)"."""
    fields = {family: varying_settings(group) for family, group in group_by_family(records).items()}
    return list(dict.fromkeys(row_name(record, fields[method_family(record)]) for record in records))


def row_name(record: Record, fields: Sequence[str]) -> str:
    """Name of a method with the values of some of its settings.

    Args:
        record: a run of the method.
        fields: names of settings, such as "method.weight". The last part labels the value if it is unambiguous.
    """
    settings = run_settings(record)
    last_parts = [field.rpartition(".")[2] for field in fields]
    values = []
    for field, last in zip(fields, last_parts, strict=True):
        label = last if last_parts.count(last) == 1 and last != "name" else field
        if field in settings:
            values.append(f"{label}={format_setting(settings[field])}")
    name = _method_name(record)
    return f"{name} ({', '.join(values) or 'unset'})" if fields else name


def format_setting(value: Any) -> str:
    """Value of a setting with all its digits, as row names show it: 6.0 -> "6"."""
    return value if isinstance(value, str) else canonical(value)


def _method_name(record: Record) -> str:
    """Name of the method and of the target labels that it used."""
    method, shots = record.config["method"]["name"], record.config.get("shots")
    labels = f"{shots} target labels a class"
    if record.config["labels_from"] == "target":
        return f"target only, {labels}" if shots else TARGET_ONLY
    return f"{method} + {labels}" if shots else method
