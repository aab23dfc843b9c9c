"""The safetensors format, read and written: eight bytes of length, a JSON header, the arrays one after another.

As its makers document it (https://huggingface.co/docs/safetensors): offsets count from the end of the header, arrays
lie row by row, without a gap or an overlap, to the end of the file. What is not so is refused.
"""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from da_bench.pretrained.files import damaged, read_bytes

HEADER = 100_000_000  # bytes of it, at most, as the format's own reader has it
DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Stored(NamedTuple):
    """What a file holds: arrays by name, read-only, and the words that came with them."""

    arrays: dict[str, np.ndarray]
    words: dict[str, str]


def read(path: Path) -> Stored:
    """All of a `.safetensors` file.

    Raises:
        UserError: it is no such file, truncated or damaged.
    """
    content = read_bytes(path)
    try:
        header, start = _header(content)
        words = header.pop("__metadata__", {})
        return Stored(dict(_arrays(header, content, start)), {str(key): str(word) for key, word in words.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise damaged(path, _said(error)) from None


def read_words(path: Path) -> dict[str, str]:
    """Only the words of a file that this module has written, without its arrays.

    Raises:
        UserError, OSError: as `read`.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            words: dict[str, str] = json.loads(file.read(min(length, HEADER)))["__metadata__"]
        return words
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise damaged(path, _said(error)) from None


def _said(error: Exception) -> str:
    return f"its header: {type(error).__name__}" if isinstance(error, (KeyError, RecursionError)) else str(error)


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    (length,) = struct.unpack_from("<Q", content)
    if length > min(HEADER, len(content) - 8):
        raise ValueError(f"its header would take {length} of {len(content)} bytes")
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names something twice")
    return found


def _arrays(header: dict[str, Any], content: bytes, start: int) -> Iterator[tuple[str, np.ndarray]]:
    """In the order of the file, which they fill."""
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, (begin, after) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(isinstance(number, int) and number >= 0 for number in (*shape, begin, after))
        if not whole or begin != end or after - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"'{name}' does not lie where it should")
        if start + after > len(content):
            raise ValueError(f"'{name}' ends beyond the file")
        yield name, np.frombuffer(content, dtype, math.prod(shape), start + begin).reshape(shape)
        end = after
    if start + end != len(content):
        raise ValueError(f"{len(content) - start - end} bytes belong to no array")


def written(arrays: Mapping[str, np.ndarray], words: Mapping[str, str]) -> Iterator[bytes]:
    """The bytes of a `.safetensors` file with these arrays, by name, and words: the header, then each array."""
    header: dict[str, Any] = {"__metadata__": dict(words)}
    end = 0
    for name, array in sorted(arrays.items()):
        header[name] = {
            "dtype": CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    yield struct.pack("<Q", len(text)) + text
    for _, array in sorted(arrays.items()):
        yield np.ascontiguousarray(array).tobytes()
