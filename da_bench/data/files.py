"""Readers of the data files that a user has on disk. Each names the file in every error that it raises."""

import contextlib
import gzip
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data import matlab

HOW_TO_SET_ROOT = "set the environment variable DA_BENCH_DATA, or give --data-root"
GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 64 * 2**30  # of one array
DEFLATE_RATIO = 1032  # the most bytes that deflate makes of one
NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # what Python makes of bytes that are not UTF-8 are surrogates
READABLE = (*"buifSU", *matlab.READABLE)


def data_root(root: Path | None = None) -> Path:
    """The folder of the user's data sets: `root`, else the environment's DA_BENCH_DATA.

    Raises:
        UserError: neither is given, or it is not a folder.
    """
    given = root if root is not None else os.environ.get("DA_BENCH_DATA")
    if not given:
        raise UserError(f"no data root is given: {HOW_TO_SET_ROOT}")
    path = Path(given).expanduser()
    if not path.is_dir():
        raise UserError(f"the data root '{path}' is not a folder: {HOW_TO_SET_ROOT}")
    return path


def check_name(folder: Path | str, name: str) -> None:
    """UserError where a file's name is not UTF-8 or holds a line break: no report or manifest could show it."""
    if NO_TEXT.search(name):
        raise UserError(f"{name!r} in '{folder}' is not UTF-8, or holds a line break or the like: rename it")


def locate_files(root: Path, folder: str, names: tuple[str, ...]) -> dict[str, Path | None]:
    """Where each of `names` is under root/folder, a file or a folder; None where it is not.

    "x.gz" may also lie there gunzipped, as "x". A name "a|b" stands for a or else b, both relative to root/folder.
    """
    found = {name: first_existing(*(root / folder / choice for choice in name.split("|"))) for name in names}
    return {name: path if path.exists() else None for name, path in found.items()}


def first_existing(*paths: Path) -> Path:
    """The first of `paths` that is there, each as it is or, of "x.gz", gunzipped as "x"; if none is, the first."""
    choices = [choice for path in paths for choice in (path, path.with_name(path.name.removesuffix(".gz")))]
    return next((choice for choice in choices if choice.exists()), paths[0])


def check_published(what: object, found: object, published: object) -> None:
    """UserError where the counts or shapes `found` in `what`, a path or a name, are not the `published` ones."""
    if found != published:
        raise UserError(f"'{what}' holds {found} where {published} is published; get a fresh copy of it")


def find_files(root: Path | None, folder: str, names: tuple[str, ...], how_to_get: str) -> list[Path]:
    """The paths of all `names`, in their order, under root/folder; `how_to_get` says where they come from.

    Raises:
        UserError: one for all that is missing: which files, where they were looked for and where they come from.
    """
    try:
        top = data_root(root)
    except UserError as error:
        needed = f"the data root needs {_listed(names)} in its folder {folder}/"
        raise UserError(f"{needed} (to get them: {how_to_get}), but {error}") from None
    found = locate_files(top, folder, names)
    missing = tuple(name for name, path in found.items() if path is None)
    if missing:
        raise UserError(
            f"missing in '{top / folder}': {_listed(missing)} (to get them: {how_to_get}); "
            f"if the data root is elsewhere, {HOW_TO_SET_ROOT}"
        )
    return [path for path in found.values() if path is not None]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names).replace("|", " or ")


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file (the format of MNIST), gzipped or plain; of any number of dimensions, read-only.

    Raises:
        UserError: unreadable, truncated, corrupt (checksum), not idx of unsigned bytes, or not of the size it declares.
    """
    content = _read_bytes(path)
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] == 0:
        raise _corrupt(path, f"it starts with bytes {content[:4].hex(' ')}, not with 00 00 08 and a dimension")
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) != start + math.prod(shape):
        raise _corrupt(path, f"it holds {len(content)} bytes, where shape {shape} takes {start + math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:  # a wrong checksum is a BadGzipFile, which is an OSError
        raise _corrupt(path, str(error)) from None


def read_libsvm(path: Path, features: int, zero_based: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(inputs [n, features] float32, labels [n] float64) of a file of lines `label index:value ...`.

    The file is plain, .gz or .bz2. Indices count from 1, or from 0 where `zero_based`; what a line leaves out is 0.

    Raises:
        UserError: unreadable, truncated, corrupt, a line that is none, an index out of range, a value not finite.
    """
    from sklearn.datasets import load_svmlight_file

    start = 0 if zero_based else 1
    try:
        sparse, labels = load_svmlight_file(str(path), n_features=features, dtype=np.float32, zero_based=zero_based)
    except (ValueError, OverflowError) as error:
        raise _corrupt(path, f"{error} (indices have to be in {start}..{start + features - 1})") from None
    except (OSError, EOFError, zlib.error) as error:
        raise _corrupt(path, str(error)) from None
    inputs = np.ascontiguousarray(sparse.toarray())
    if not len(labels):
        raise _corrupt(path, "it is empty")
    if not (np.isfinite(inputs).all() and np.isfinite(labels).all()):
        raise _corrupt(path, "it holds values that are not finite")
    return inputs, labels


class _Header(NamedTuple):
    """What a file says of an array before it is read: numpy's kind or MATLAB's class; its bytes, or fewer."""

    kind: str
    size: int


def array_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of an .npz or .mat file, in its order; no array is read.

    Raises:
        UserError: unreadable, truncated or corrupt as far as the headers go, or of MATLAB 7.3.
    """
    with _explained(path):
        return tuple(_headers(path))


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays `names` of an .npz or .mat file: numbers, bool or strings ("U"), of any shape. Nothing is unpickled.

    Bytes ("S") become strings; so do MATLAB's char arrays, one a row, and cell arrays of them, one a cell.

    Raises:
        UserError: unreadable, truncated, corrupt, of MATLAB 7.3, without one of the arrays, or with one that holds
            anything else (Python objects, structs, sparse matrices) or declares more than the file can hold.
    """
    with _explained(path):
        headers = _headers(path)
        absent = [name for name in names if name not in headers]
        if absent:
            raise UserError(f"'{path}' has no array {', '.join(absent)}; it has: {', '.join(headers) or 'none'}")
        for name in names:
            _check_header(path, name, headers[name])
        return matlab.load(path, names) if path.suffix == ".mat" else _load_npz(path, names)


def _headers(path: Path) -> dict[str, _Header]:
    if path.suffix != ".mat":
        return _npz_headers(path)
    return {name: _Header(kind, math.prod(shape)) for name, (kind, shape) in matlab.headers(path).items()}


def _check_header(path: Path, name: str, header: _Header) -> None:
    if header.kind not in READABLE:
        remedy = "save it as a full array of real numbers or strings"
        raise UserError(f"array '{name}' of '{path}' is of the type {header.kind}, which is not read: {remedy}")
    if header.size > min(MAX_BYTES, DEFLATE_RATIO * path.stat().st_size):
        raise _corrupt(path, f"its array '{name}' declares {header.size} bytes, more than such a file can hold")


def _npz_headers(path: Path) -> dict[str, _Header]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.namelist() if member.endswith(".npy")]
        return {member.removesuffix(".npy"): _npy_header(archive, member) for member in members}


def _npy_header(archive: zipfile.ZipFile, member: str) -> _Header:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return _Header("object" if dtype.hasobject else dtype.kind, math.prod(shape) * dtype.itemsize)


def _load_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        arrays = [archive[name] for name in names]
    return [_as_text(path, name, array) for name, array in zip(names, arrays, strict=True)]


def _as_text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    try:
        return np.char.decode(array) if array.dtype.kind == "S" else array
    except UnicodeDecodeError:
        raise UserError(f"array '{name}' of '{path}' holds bytes that are not UTF-8: save it as strings") from None


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"the arrays of '{path}' do not fit into memory: save fewer or smaller ones") from None
    except Exception as error:  # of damaged bytes, the parsers of numpy and zipfile raise whatever comes
        raise _corrupt(path, str(error) or type(error).__name__) from None


def _corrupt(path: Path, fault: str) -> UserError:
    return UserError(f"cannot read '{path}': {fault}; get a fresh copy of it")
