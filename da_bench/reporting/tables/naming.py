"""Names of rows: the method and the settings that vary."""

from collections.abc import Iterable, Sequence
from typing import Any

from da_bench.studies.records import Record, canonical

TARGET_ONLY = "target only (upper bound)"

TARGET_ONLY_HELD_OUT = "target only, held-out rows (upper bound)"

# Not part of a row's settings: the task heads the table, seeds share a row, the schema is the file format's,
# and `labels_from` is what the row is called anyway.
APART = ("task", "seed", "schema", "labels_from", "shots")


def _task(record: Record) -> str:
    return str(record.config["task"])


def _families(records: Iterable[Record]) -> dict[Any, list[Record]]:
    families: dict[Any, list[Record]] = {}
    for record in records:
        families.setdefault(_family(record), []).append(record)
    return families


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
