"""A study's records in one small file, to be kept with its tables: all that a table is made of, without predictions."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError, to_digits
from da_bench.studies.records import PARTS, Record, Records, strict_json

NAME = "records.jsonl.gz"
SCHEMA = 1
DIGITS = 6  # of curves, which are most of a record; what tables of results show is kept to the last bit


class Archive(NamedTuple):
    """Records in the order of their study, and the selection rule that was declared for its tables."""

    records: list[Record]
    rule: str


def pack(records: Sequence[Record], rule: str) -> bytes:
    """gzip'd JSON lines, a first one that says what follows and one a record; equal records give equal bytes."""
    head = {"schema": SCHEMA, "records": len(records), "rule": rule}
    lines = [head, *({"id": one.id, **{part: _kept(one, part) for part in PARTS}} for one in records)]
    text = "".join(json.dumps(line, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
    return gzip.compress(text.encode(), mtime=0)


def unpack(path: Path) -> Archive:
    """What `pack` made of a study.

    Raises:
        UserError: it cannot be read, is cut short or damaged, or another version's.
    """
    try:
        head, *lines = (strict_json(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines())
        if head["schema"] != SCHEMA:
            raise ValueError(f"it has schema {head['schema']!r}, and this version reads {SCHEMA}")
        if len(lines) != head["records"]:
            raise ValueError(f"it says {head['records']} records and holds {len(lines)}")
        return Archive([Record(**line) for line in lines], head["rule"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read {path}: {error}; the command that wrote it, `da-bench run` with its file, writes it again"
        ) from error


def records_in(folder: Path) -> list[Record]:
    """The records of a study's folder, which has an archive, or the published runs of a results folder."""
    return unpack(folder / NAME).records if (folder / NAME).is_file() else Records(folder).all()


def _kept(record: Record, part: str) -> Any:
    return _rounded(record.curves) if part == "curves" else getattr(record, part)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return to_digits(value, DIGITS)
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {name: _rounded(one) for name, one in value.items()} if isinstance(value, dict) else value
