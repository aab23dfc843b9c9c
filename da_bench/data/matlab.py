"""MATLAB's .mat files of versions 5 to 7, after MathWorks' "MAT-File Format": full arrays of real numbers and strings.

Read here, not by scipy, whose reader does not survive all damaged files: on some the whole process ends with a
segmentation fault. Every function but `headers` and `load` takes what has been read so far, and raises ValueError or
zlib.error on anything that is not as the format has it.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError

MATRIX, COMPRESSED = 14, 15  # types of an element of a file
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}  # of their values
TEXTS = {2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}  # types of characters
CLASSES = {
    **{1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8"},
    **{10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "opaque"},
}
READABLE = ("cell", "char", *(CLASSES[number] for number in range(6, 16)))
COMPLEX = 0x800
HEAD = 1024  # bytes of an array that hold its class, its shape and its name, of at most 63 letters
DEFLATE_RATIO = 1032  # the most bytes that deflate makes of one
SAVE_ANEW = "save it anew in MATLAB with save(..., '-v7')"


class Header(NamedTuple):
    """What a file says of an array before its values: its class in MATLAB, and its shape."""

    kind: str
    shape: tuple[int, ...]


class _Element(NamedTuple):
    kind: int
    content: memoryview


class _File(NamedTuple):
    order: str  # of bytes: "<" or ">"
    elements: dict[str, _Element]
    headers: dict[str, Header]


def headers(path: Path) -> dict[str, Header]:
    """By the names of the file's arrays, in its order, what they are.

    Raises:
        UserError, ValueError, OSError, zlib.error: no .mat file of versions 5 to 7, or a truncated or damaged one.
    """
    return _open(path).headers


def load(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays `names`: numbers of the type that they have in MATLAB, char and cell arrays as strings, one a row.

    Raises:
        UserError, ValueError, OSError, zlib.error: as `headers`, or an array of another class.
    """
    file = _open(path)
    return [_array(_body(file.elements[name], file.order), file.order) for name in names]


def _open(path: Path) -> _File:
    content = np.memmap(path, mode="r").data if path.stat().st_size else memoryview(b"")  # an empty one has no map
    order = _byte_order(path, bytes(content[:129]))
    file = _File(order, {}, {})
    for element in _elements(content[128:], order):
        name, header = _head(_body(element, order, HEAD), order)
        if name in file.headers:
            raise ValueError(f"it has two arrays called '{name}'")
        if name:  # what has none is MATLAB's own
            file.elements[name], file.headers[name] = element, header
    return file


def _byte_order(path: Path, content: bytes) -> str:
    if content.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise UserError(f"'{path}' is a MATLAB 7.3 (HDF5) file, which is not read: {SAVE_ANEW}")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) == 128:
        raise ValueError(f"it is no .mat file of MATLAB 5 to 7, or an empty one; of an older one, {SAVE_ANEW}")
    return order


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """The elements that follow each other in `content`: of a type, and padded to 8 bytes if not compressed."""
    at = 0
    while at < len(content):
        kind, size = _pair(content[at : at + 8], order)
        start, following = at + 8, at + 8 + size + (0 if kind == COMPRESSED else -size % 8)
        if kind >> 16:  # a small one: its size is in the upper half of its type, its content in the place of the size
            kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if start + size > min(following, len(content)):
            raise ValueError("it is truncated")
        yield _Element(kind, content[start : start + size])
        at = following


def _pair(content: memoryview, order: str) -> tuple[int, int]:
    if len(content) < 8:
        raise ValueError("it is truncated")
    first, second = np.frombuffer(content[:8], f"{order}u4")
    return int(first), int(second)


def _body(element: _Element, order: str, limit: int | None = None) -> memoryview:
    """The content of an array, or its first `limit` bytes, decompressed if need be."""
    if element.kind == MATRIX:
        return element.content[:limit]
    if element.kind != COMPRESSED:
        raise ValueError(f"it has an element of type {element.kind} where an array has to be")
    stream = zlib.decompressobj()
    kind, size = _pair(memoryview(stream.decompress(element.content, 8)), order)
    if kind != MATRIX or not 0 < size <= DEFLATE_RATIO * len(element.content):
        raise ValueError("it has an array that declares more than there is")
    body = stream.decompress(stream.unconsumed_tail, min(size, limit or size))
    if limit is None and (len(body) < size or stream.decompress(stream.unconsumed_tail, 1) or not stream.eof):
        raise ValueError("it has an array that is truncated, or longer than it declares")
    return memoryview(body)


def _head(body: memoryview, order: str) -> tuple[str, Header]:
    """Name and header of an array; the class of complex numbers is "complex"."""
    elements = _elements(body, order)
    flags, shape, name = (_values(next(elements, None), order) for _ in range(3))
    if len(flags) != 2 or len(shape) < 2 or (shape < 0).any():
        raise ValueError("it has an array without a class or a shape")
    kind = "complex" if flags[0] & COMPLEX else CLASSES.get(int(flags[0]) & 0xFF, "unknown")
    return name.tobytes().decode(), Header(kind, tuple(shape.tolist()))


def _values(element: _Element | None, order: str) -> np.ndarray:
    if element is None or element.kind not in NUMBERS:
        raise ValueError("it has an array that lacks its values, or has other things in their place")
    return np.frombuffer(element.content, order + NUMBERS[element.kind])


def _array(body: memoryview, order: str) -> np.ndarray:
    _, (kind, shape) = _head(body, order)
    parts = list(_elements(body, order))[3:]
    if kind == "cell":
        return _cells(parts, shape, order)
    if kind == "char":
        return _rows(parts, shape, order)
    if kind not in READABLE:
        raise ValueError(f"it has an array of class {kind} where one of numbers or strings has to be")
    values = _values(parts[0] if parts else None, order)  # MATLAB stores whole numbers in the smallest type
    dtype = {"double": "float64", "single": "float32"}.get(kind, kind)
    return values.astype(dtype).reshape(shape, order="F")


def _cells(parts: list[_Element], shape: tuple[int, ...], order: str) -> np.ndarray:
    """Strings of the shape of the cells, each of which has to be a row of characters."""
    cells = []
    for part in parts:
        _, (kind, cell_shape) = _head(_body(part, order), order)
        if part.kind != MATRIX or kind != "char" or math.prod(cell_shape[:-1]) > 1:
            raise ValueError("a cell array may hold strings only, one in each cell")
        cells.append("".join(_array(part.content, order).ravel()))
    return np.array(cells, np.str_).reshape(shape, order="F")


def _rows(parts: list[_Element], shape: tuple[int, ...], order: str) -> np.ndarray:
    """Strings [n] of characters [n, m], without the blanks at their ends, by which MATLAB makes them equally long."""
    if not parts or parts[0].kind not in TEXTS or len(shape) != 2:
        raise ValueError("it has strings that lack their characters, or have other things in their place")
    codec = TEXTS[parts[0].kind]
    if codec != "utf-8":
        codec += "-le" if order == "<" else "-be"
    letters = np.array(list(bytes(parts[0].content).decode(codec)), np.str_).reshape(shape, order="F")
    return np.array(["".join(row).rstrip(" ") for row in letters], np.str_)
