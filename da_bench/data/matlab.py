"""MATLAB's .mat files of versions 5 to 7, read by scipy: full arrays of real numbers and strings.

scipy's parser does not survive every damaged file: on some, the process ends with a segmentation fault. A file is
therefore parsed in a child process first, see `check_parser_survives`.
"""

import functools
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError, first_line

CLASSES = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
READABLE = ("cell", "char", "logical", *CLASSES)
HEADER_BYTES = 128
RESAVE = "save it again in MATLAB with save(..., '-v7')"
DEFLATE_RATIO = 1032  # the most bytes that deflate makes of one
SPARE_BYTES = 2 * 2**30  # of memory for the child process, besides the contents of the file
OUT_OF_MEMORY = 3
PARSE = f"""
import os, resource, sys
import scipy.io
limit = {SPARE_BYTES} + {DEFLATE_RATIO} * os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
try:
    scipy.io.loadmat(sys.argv[1])
except MemoryError:
    sys.exit({OUT_OF_MEMORY})
"""


class Header(NamedTuple):
    """What a file declares about an array.

    Attributes:
        kind: the array's class in MATLAB, such as "double" or "cell".
        shape: its dimensions; of strings ("char"), those without the letters.
    """

    kind: str
    shape: tuple[int, ...]


def headers(path: Path) -> dict[str, Header]:
    """Return the headers of the file's arrays by name, in the order of the file; no values are read.

    Raises:
        UserError: the file is of MATLAB 7.3 (HDF5).
        ValueError: it is not a .mat file of versions 5 to 7, or is damaged.
    """
    import scipy.io

    _check_version(path)
    listed = _parse(scipy.io.whosmat, path)
    named = {name: Header(kind, shape) for name, shape, kind in listed}
    if len(named) < len(listed):
        names = [name for name, _, _ in listed]
        raise ValueError(f"it has two arrays called '{next(name for name in names if names.count(name) > 1)}'")
    for name, (kind, shape) in named.items():
        if min(shape, default=0) < 0 or (len(shape) < 2 and kind != "char"):
            raise ValueError(f"its array '{name}' has the impossible shape {shape}")
    return named


def load(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Return the arrays `names`: numbers with their type in MATLAB; char and cell arrays as strings.

    A char array [n, m] becomes n strings without the blanks at their ends, which MATLAB adds to make them equally long.

    Raises:
        UserError, ValueError: see `headers`; or an array holds anything else.
    """
    import scipy.io

    _check_version(path)
    arrays = _parse(scipy.io.loadmat, path, variable_names=names, mat_dtype=True)
    return [_plain(name, arrays[name]) for name in names]


def _check_version(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    if start.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise UserError(f"'{path}' is a MATLAB 7.3 (HDF5) file, which is not supported: {RESAVE}")
    if start[124:] not in (b"\0\1IM", b"\1\0MI"):
        raise ValueError(f"it is not a .mat file of MATLAB 5 to 7; if it is an older one, {RESAVE}")
    stat = path.stat()
    check_parser_survives(path, (stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def check_parser_survives(path: Path, _stamp: tuple[int, int]) -> None:
    """Parse the file in a child process, so that a crash of the parser becomes an error message.

    The child runs nothing but scipy, with no more memory than the file can justify: a damaged one may declare arrays of
    any size. Other exceptions than MemoryError are ignored here, because the caller meets them again.

    Args:
        path: the file.
        _stamp: its size and time of change; one version of a file is parsed once.

    Raises:
        ValueError: the parser crashed or ran out of memory.
    """
    child = subprocess.run([sys.executable, "-I", "-c", PARSE, str(path)], capture_output=True, check=False)
    if child.returncode < 0:
        raise ValueError(f"it is damaged: scipy's parser crashes on it ({signal.Signals(-child.returncode).name})")
    if child.returncode == OUT_OF_MEMORY:
        raise ValueError("it declares more than such a file can hold")


def _parse(reader: Callable[..., Any], path: Path, **options: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scipy warns of a variable that it cannot read, and gives a text instead
            return reader(path, **options)
    except MemoryError:
        raise
    except Exception as error:  # on damaged bytes, scipy raises many kinds of errors
        raise ValueError(f"scipy cannot parse it ({type(error).__name__}: {first_line(error)})") from None


def _plain(name: str, array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buifUO":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"its array '{name}' is of the type {kind}, where real numbers or strings are needed")
    if array.dtype.kind == "U":
        if array.ndim != 1:
            raise ValueError(f"its array '{name}' has strings in more than one dimension")
        return np.array([text.rstrip(" ") for text in array], np.str_)
    if array.dtype.kind == "O":
        return np.array([_cell(name, cell) for cell in array.ravel()], np.str_).reshape(array.shape)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _cell(name: str, cell: Any) -> str:
    if not isinstance(cell, np.ndarray) or cell.dtype.kind != "U" or cell.size > 1:
        raise ValueError(f"its cell array '{name}' may hold strings only, one in each cell")
    return "".join(cell.ravel()).rstrip(" ")
