"""Archives: the records of a study, without predictions, in one small file that is kept with its tables."""

import gzip
import json
import lzma
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from da_bench.core.config import UserError, round_to_digits
from da_bench.studies.records import PARTS, Record, Records, strict_json

NAME = "records.jsonl.xz"
GZIP_NAME = "records.jsonl.gz"  # the compression of da_bench 0.1, still read
SCHEMA = 1
DIGITS = 6  # of curves, which are most of a record; the numbers that tables of results show keep every bit


class Archive(NamedTuple):
    """The content of an archive.

    Attributes:
        records: in the order of their study.
        rule: the selection rule that was declared for its tables.
    """

    records: list[Record]
    rule: str


def pack(records: Sequence[Record], rule: str) -> bytes:
    """Pack records into JSON lines compressed by xz: a header, then one line a record.

    Equal records give equal bytes.

    Args:
        records: in the order of their study.
        rule: the declared selection rule.
    """
    head = {"schema": SCHEMA, "records": len(records), "rule": rule}
    lines = [head, *map(_line, records)]
    text = "".join(json.dumps(line, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
    return lzma.compress(text.encode())


def unpack(path: Path) -> Archive:
    """Read an archive that `pack` wrote.

    Raises:
        UserError: it cannot be read, is cut short or damaged, or is of another version.
    """
    try:
        decompress = gzip.decompress if path.suffix == ".gz" else lzma.decompress
        head, *lines = (strict_json(line) for line in decompress(path.read_bytes()).decode().splitlines())
        if head["schema"] != SCHEMA:
            raise ValueError(f"it has schema {head['schema']!r}, and this version reads {SCHEMA}")
        if len(lines) != head["records"]:
            raise ValueError(f"its header counts {head['records']} records, and it holds {len(lines)}")
        return Archive([Record(**line) for line in lines], head["rule"])
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"cannot read {path}: {error}; the command that wrote it, `da-bench run` with its file, writes it again"
        ) from error


def archive_in(folder: Path) -> Path | None:
    """Return the path of the archive in a study's folder; None if there is none."""
    return next((path for name in (NAME, GZIP_NAME) if (path := folder / name).is_file()), None)


def records_in(folder: Path) -> list[Record]:
    """Return the records of a study's folder, from its archive, or the published runs of a results folder."""
    path = archive_in(folder)
    return Records(folder).all() if path is None else unpack(path).records


def _line(record: Record) -> dict[str, Any]:
    return {"id": record.id, **{part: getattr(record, part) for part in PARTS}, "curves": _round(record.curves)}


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round_to_digits(value, DIGITS)
    if isinstance(value, list):
        return [_round(item) for item in value]
    return {name: _round(item) for name, item in value.items()} if isinstance(value, dict) else value
