"""Where records come from, as lines below a table or plot."""

from collections.abc import Sequence
from typing import Any

from da_bench.reporting.tables.naming import task_name
from da_bench.reporting.tables.rows import Row
from da_bench.reporting.tables.text import join_unique
from da_bench.studies.records import Record


def describe_seed_counts(rows: Sequence[Row]) -> str:
    """Number of seeds of the rows: "5 seeds a row" or "3 to 5 seeds a row"."""
    counts = [len(row.runs) for row in rows if row.runs] or [0]
    fewest, most = min(counts), max(counts)
    if fewest != most:
        return f"{fewest} to {most} seeds a row"
    return f"{most} {'seed' if most == 1 else 'seeds'} a row"


def provenance(records: Sequence[Record]) -> list[str]:
    """Command, commit, device, data, protocol and steps of records as one line.

    Lines before it warn if the records differ in commit or device, or in the data of one task.
    """
    environments = [record.environment for record in records]
    commits = [_commit(environment) for environment in environments]
    devices = [_device(environment) for environment in environments]
    data = [str(environment.get("data", "unknown")) for environment in environments]
    steps = [(record.config["training"] or {}).get("steps") for record in records]
    facts = {
        "command": join_unique(f"`{each['command']}`" for each in environments if each.get("command")),
        "commit": join_unique(commits),
        "device": join_unique(devices),
        "data": join_unique(digest[:12] for digest in data),
        "protocol": join_unique(record.result["protocol"] for record in records if "protocol" in record.result),
        "steps": join_unique(count for count in steps if count is not None),
    }
    one_task = len(set(map(task_name, records))) <= 1  # two tasks have two data sets
    compared = {"commit": commits, "device": devices, "data": data if one_task else []}
    warnings = [
        f"WARNING: the records differ in {name}: {facts[name]}"
        for name, values in compared.items()
        if len(set(values)) > 1
    ]
    return [*warnings, "; ".join(f"{name} {text}" for name, text in facts.items() if text)]


def _commit(environment: dict[str, Any]) -> str:
    return str(environment.get("commit") or "unknown") + (" + uncommitted changes" if environment.get("dirty") else "")


def _device(environment: dict[str, Any]) -> str:
    count = environment.get("device_count", 1)
    return f"{environment.get('device', 'unknown')}" + (f" x {count}" if count != 1 else "")
