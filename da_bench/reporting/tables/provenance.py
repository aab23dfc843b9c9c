"""Where records come from."""

from collections.abc import Sequence
from typing import Any

from da_bench.reporting.tables.naming import _task
from da_bench.reporting.tables.rows import Row
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record


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
