"""Readers of the data files that users have on disk. Every error names the file."""

import contextlib
import gzip
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data import matlab

HOW_TO_SET_ROOT = "set the environment variable DA_BENCH_DATA, or give --data-root"
GZIP_MAGIC = b"\x1f\x8b"
MAX_BYTES = 64 * 2**30  # of one array
NO_TEXT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # Python turns bytes that are not UTF-8 into surrogates
READABLE = (*"buifSU", *matlab.READABLE)


def data_root(root: Path | None = None) -> Path:
    """Return the folder of the user's data sets.

    Args:
        root: the folder; None for the environment variable DA_BENCH_DATA.

    Raises:
        UserError: neither is given, or it is not a folder.
    """
    value = root if root is not None else os.environ.get("DA_BENCH_DATA")
    if not value:
        raise UserError(f"no data root is given: {HOW_TO_SET_ROOT}")
    path = Path(value).expanduser()
    if not path.is_dir():
        raise UserError(f"the data root '{path}' is not a folder: {HOW_TO_SET_ROOT}")
    return path


def check_name(folder: Path | str, name: str) -> None:
    """Refuse a file name that is not UTF-8 or holds a line break, because no report or manifest could show it.

    Raises:
        UserError: the name is such a name.
    """
    if NO_TEXT.search(name):
        raise UserError(f"{name!r} in '{folder}' is not UTF-8, or holds a line break or the like: rename it")


def locate_files(root: Path, folder: str, names: tuple[str, ...]) -> dict[str, Path | None]:
    """Return where each of `names`, a file or a folder, is under root/folder; None if it does not exist.

    Args:
        root: the data root.
        folder: folder under the data root.
        names: paths relative to `folder`. "x.gz" may also be unpacked, as "x". "a|b" means a, or b if a does not exist.
    """
    paths = {name: first_existing(*(root / folder / choice for choice in name.split("|"))) for name in names}
    return {name: path if path.exists() else None for name, path in paths.items()}


def first_existing(*paths: Path) -> Path:
    """Return the first of `paths` that exists, each as it is or, for "x.gz", unpacked as "x"; otherwise the first."""
    choices = [choice for path in paths for choice in (path, path.with_name(path.name.removesuffix(".gz")))]
    return next((choice for choice in choices if choice.exists()), paths[0])


def check_published(source: object, found: object, published: object) -> None:
    """Check that counts or shapes are the published ones.

    Args:
        source: path or name of what holds them, for the message.
        found: counts or shape.
        published: what they have to be.

    Raises:
        UserError: they differ.
    """
    if found != published:
        raise UserError(f"'{source}' holds {found}, but {published} is published; get a fresh copy of it")


def find_files(root: Path | None, folder: str, names: tuple[str, ...], how_to_get: str) -> list[Path]:
    """Return the paths of all `names`, in their order, under root/folder.

    Args:
        root: the data root; None for the environment variable DA_BENCH_DATA.
        folder: folder under the data root.
        names: as in `locate_files`.
        how_to_get: where the files come from, for the message.

    Raises:
        UserError: files are missing; one message says which, where they were looked for and where they come from.
    """
    try:
        top = data_root(root)
    except UserError as error:
        needed = f"the data root needs {listed(names)} in its folder {folder}/"
        raise UserError(f"{needed} (to get them: {how_to_get}), but {error}") from None
    paths = locate_files(top, folder, names)
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise UserError(
            f"missing in '{top / folder}': {listed(missing)} (to get them: {how_to_get}); "
            f"if the data root is elsewhere, {HOW_TO_SET_ROOT}"
        )
    return [path for path in paths.values() if path is not None]


def listed(names: Iterable[str]) -> str:
    """Return names as a message shows them: "a|b" is "a or b"."""
    return ", ".join(names).replace("|", " or ")


def read_idx(path: Path) -> np.ndarray:
    """Read an idx file (the format of MNIST), gzipped or plain.

    Returns:
        uint8 array of any number of dimensions, read-only.

    Raises:
        UserError: the file is unreadable, truncated, corrupt (checksum), of another type than unsigned bytes, or not of
            the size it declares.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (OSError, EOFError, zlib.error) as error:  # a wrong checksum is a BadGzipFile, which is an OSError
        raise _corrupt(path, str(error)) from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] == 0:
        raise _corrupt(path, f"it starts with bytes {content[:4].hex(' ')}, not with 00 00 08 and a dimension")
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if len(content) != start + math.prod(shape):
        raise _corrupt(path, f"it holds {len(content)} bytes, but shape {shape} takes {start + math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_libsvm(path: Path, features: int, zero_based: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Read a file of lines `label index:value ...`, plain, .gz or .bz2; values that a line leaves out are 0.

    Args:
        path: the file.
        features: number of features, d.
        zero_based: whether indices count from 0 instead of 1.

    Returns:
        inputs [n, d] float32 and labels [n] float64.

    Raises:
        UserError: the file is unreadable, truncated, corrupt or empty; a line is malformed, an index out of range, or a
            value not finite.
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
    """What a file declares about an array before it is read: numpy's kind or MATLAB's class; at least so many bytes."""

    kind: str
    size: int


def array_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays of an .npz or .mat file, in its order.

    Raises:
        UserError: the file is unreadable, truncated or corrupt, or of MATLAB 7.3.
    """
    with _file_errors(path):
        return tuple(_headers(path))


def read_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read arrays of an .npz or .mat file: numbers, bool or strings, of any shape. Nothing is unpickled.

    Bytes become strings, and so do MATLAB's char arrays (one string a row) and cell arrays of them (one a cell).

    Args:
        path: the file.
        names: names of the arrays.

    Raises:
        UserError: the file is unreadable, truncated, corrupt, of MATLAB 7.3, or lacks an array; an array holds anything
            else (Python objects, structs, sparse matrices) or declares more than the file can hold.
    """
    with _file_errors(path):
        headers = _headers(path)
        absent = [name for name in names if name not in headers]
        if absent:
            raise UserError(f"'{path}' has no array {', '.join(absent)}; it has: {', '.join(headers) or 'none'}")
        for name in names:
            kind, size = headers[name]
            if kind not in READABLE:
                remedy = "save it as a full array of real numbers or strings"
                raise UserError(f"array '{name}' of '{path}' is of the type {kind}, which is not supported: {remedy}")
            if size > min(MAX_BYTES, matlab.DEFLATE_RATIO * path.stat().st_size):
                raise _corrupt(path, f"its array '{name}' declares {size} bytes, more than such a file can hold")
        return matlab.load(path, names) if path.suffix == ".mat" else _load_npz(path, names)


def _headers(path: Path) -> dict[str, _Header]:
    if path.suffix == ".mat":
        return {name: _Header(kind, math.prod(shape)) for name, (kind, shape) in matlab.headers(path).items()}
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
        arrays = {name: archive[name] for name in names}
    for name, array in arrays.items():
        try:
            arrays[name] = np.char.decode(array) if array.dtype.kind == "S" else array
        except UnicodeDecodeError:
            raise UserError(f"array '{name}' of '{path}' holds bytes that are not UTF-8: save it as strings") from None
    return [arrays[name] for name in names]


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"the arrays of '{path}' do not fit into memory: save fewer or smaller ones") from None
    except Exception as error:  # on damaged bytes, numpy and zipfile raise many kinds of errors
        raise _corrupt(path, str(error) or type(error).__name__) from None


def _corrupt(path: Path, fault: str) -> UserError:
    return UserError(f"cannot read '{path}': {fault}; get a fresh copy of it")
