"""Strict readers of untrusted JSON texts and zip archives.

They enforce limits and refuse everything that two readers could understand differently.
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
LARGEST = 2**63  # bound of the magnitude of an integer
# A string, closed or not, or a bracket. Matches are adjacent, so that a scan is one pass.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)

# Everything that zipfile and zlib raise on damaged or hostile bytes.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, KeyError,
    IndexError, OverflowError,
)  # fmt: skip


class StrictError(UserError):
    """An untrusted file is not as it has to be; nothing of it is used."""

    code = 1


def strict_json(content: bytes, where: str) -> Any:
    """Parse a JSON text.

    Args:
        content: the text in UTF-8, at most 1 MiB, nested at most 20 deep.
        where: name of the text in error messages.

    Raises:
        StrictError: it is not JSON, exceeds a limit, or holds something that readers understand differently: NaN,
            infinity, a number that becomes infinite (1e999), an integer beyond 64 bits, a duplicate key, half of a
            surrogate pair.
    """
    try:
        return _parse(content)
    except ValueError as error:  # JSONDecodeError and UnicodeError are ValueErrors
        raise StrictError(f"{where}: {first_line(error)}; write it with a program, such as `da-bench submit`") from None


def _parse(content: bytes) -> Any:
    if len(content) > JSON_BYTES:
        raise ValueError(f"{len(content)} bytes are more than {JSON_BYTES}")
    text = content.decode("utf-8")
    if (depth := _depth(text)) > JSON_DEPTH:
        raise ValueError(f"nested {depth} deep, more than {JSON_DEPTH}")
    value = json.loads(
        text,
        parse_constant=reject_constant,
        parse_float=_finite_float,
        parse_int=_bounded_int,
        object_pairs_hook=reject_duplicate_keys,
    )
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair has no UTF-8
    return value


def _depth(text: str) -> int:
    """Return how deep brackets are nested outside of strings."""
    depth = deepest = 0
    for token in TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def reject_constant(name: str) -> NoReturn:
    """Refuse NaN and infinities; for the argument `parse_constant` of json.loads."""
    raise ValueError(f"{name} is not JSON")


def reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys; for the argument `object_pairs_hook` of json.loads."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _finite_float(digits: str) -> float:
    value = float(digits)
    if abs(value) == float("inf"):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def _bounded_int(digits: str) -> int:
    value = int(digits)
    if abs(value) >= LARGEST:
        raise ValueError(f"{digits[:20]} is too large for an integer")
    return value


class Limits(NamedTuple):
    """Limits of an archive.

    Attributes:
        members: number of files.
        each: unpacked bytes of each file.
        all: unpacked bytes of all files together.
    """

    members: int
    each: int
    all: int


class Archive:
    """A zip archive within limits. Files are read into memory; nothing is unpacked to disk.

    Args:
        file: the archive, open for reading.
        where: name of the archive in error messages.
        limits: number and sizes of its files.

    Attributes:
        names: names of the files.

    Raises:
        StrictError: it is not a zip archive or exceeds `limits`; a file is in it twice, is encrypted, or is packed by
            another method than deflate.
    """

    def __init__(self, file: BinaryIO, where: str, limits: Limits) -> None:
        self.where, self.limits = where, limits
        self._zip = self._guarded(lambda: zipfile.ZipFile(file))
        members = self._zip.infolist()
        self.names = [member.filename for member in members]
        self._need(len(members) <= limits.members, f"more than {limits.members} files")
        self._need(len(set(self.names)) == len(members), "it has a file twice")
        self._need(sum(member.file_size for member in members) <= limits.all, f"more than {limits.all} bytes unpacked")
        for member in members:
            self._need(member.file_size <= limits.each, f"'{member.filename[:80]}' has more than {limits.each} bytes")
            is_plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not member.flag_bits & 1
            self._need(is_plain, f"'{member.filename[:80]}' is encrypted, or packed by another method than deflate")

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            StrictError: it is damaged, or longer than the archive declares.
        """
        size = self._zip.getinfo(name).file_size
        content = self._guarded(lambda: self._zip.open(name).read(size + 1))
        self._need(len(content) == size, f"'{name}' is not as long as declared")
        return content

    def _guarded(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except DAMAGE as error:
            raise StrictError(f"{self.where} is damaged, or no zip archive: {first_line(error)}") from None

    def _need(self, holds: bool, reason: str) -> None:
        if not holds:
            raise StrictError(f"{self.where}: {reason}")
