"""What others wrote, read with suspicion: JSON and zip archives within limits, and nothing that two readers could read
in two ways.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeVar

from da_bench.core.config import UserError, first_line

T = TypeVar("T")

JSON_BYTES = 2**20
JSON_DEPTH = 20
LARGEST = 2**63  # of an integer, in magnitude
# A string, closed or not, or a bracket. Each match ends where the next begins, so that a scan is one pass.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)

# All that zipfile and zlib raise on damaged or hostile bytes.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, KeyError,
    IndexError, OverflowError,
)  # fmt: skip


class StrictError(UserError):
    """Something is not what it has to be, and nothing of it is used."""

    code = 1


def strict_json(content: bytes, where: str) -> Any:
    """The value of a JSON text in UTF-8 of at most 1 MiB, 20 deep; `where` names it in errors.

    Raises:
        StrictError: not JSON; or what readers of JSON read in different ways: NaN, infinity, a number that becomes one
            (1e999), an integer beyond 64 bits, a key that stands twice, half of a surrogate pair.
    """
    try:
        return _parsed(content)
    except ValueError as error:  # of which are JSONDecodeError and UnicodeError
        raise StrictError(f"{where}: {first_line(error)}; write it with a program, such as `da-bench submit`") from None


def _parsed(content: bytes) -> Any:
    if len(content) > JSON_BYTES:
        raise ValueError(f"{len(content)} bytes are more than {JSON_BYTES}")
    text = content.decode("utf-8")
    if (depth := _depth(text)) > JSON_DEPTH:
        raise ValueError(f"nested {depth} deep, more than {JSON_DEPTH}")
    value = json.loads(
        text, parse_constant=no_constant, parse_float=_finite, parse_int=_bounded, object_pairs_hook=no_twins
    )
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a pair has no UTF-8
    return value


def _depth(text: str) -> int:
    """How deep brackets nest outside of strings."""
    depth = deepest = 0
    for token in TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def no_constant(name: str) -> NoReturn:
    """For json.loads: refuse NaN and infinities."""
    raise ValueError(f"{name} is not JSON")


def no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads: refuse a key that stands twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _finite(digits: str) -> float:
    value = float(digits)
    if abs(value) == float("inf"):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def _bounded(digits: str) -> int:
    value = int(digits)
    if abs(value) >= LARGEST:
        raise ValueError(f"{digits[:20]} is too large for an integer")
    return value


class Limits(NamedTuple):
    """Of an archive: its members, the bytes of each and those of all, both unpacked."""

    members: int
    each: int
    all: int


class Archive:
    """The members of a zip archive, within limits; each is read into memory, nothing is unpacked to disk.

    names: of the members.

    Raises:
        StrictError: no zip archive; a member twice, encrypted, or packed by another method than deflate; or more or
            larger ones than `limits`.
    """

    def __init__(self, file: BinaryIO, where: str, limits: Limits) -> None:
        self.where, self.limits = where, limits
        self._zip = self._guarded(lambda: zipfile.ZipFile(file))
        members = self._zip.infolist()
        self.names = [one.filename for one in members]
        self._need(len(members) <= limits.members, f"more than {limits.members} files")
        self._need(len(set(self.names)) == len(members), "a file stands in it twice")
        self._need(sum(one.file_size for one in members) <= limits.all, f"more than {limits.all} bytes unpacked")
        for one in members:
            self._need(one.file_size <= limits.each, f"'{one.filename[:80]}' has more than {limits.each} bytes")
            plain = one.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not one.flag_bits & 1
            self._need(plain, f"'{one.filename[:80]}' is encrypted, or packed by another method than deflate")

    def read(self, name: str) -> bytes:
        """The content of a member; StrictError where it is damaged or longer than it says."""
        size = self._zip.getinfo(name).file_size
        content = self._guarded(lambda: self._zip.open(name).read(size + 1))
        self._need(len(content) == size, f"'{name}' is not as long as it says")
        return content

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except DAMAGE as error:
            raise StrictError(f"{self.where} is damaged, or no zip archive: {first_line(error)}") from None

    def _need(self, holds: bool, reason: str) -> None:
        if not holds:
            raise StrictError(f"{self.where}: {reason}")
