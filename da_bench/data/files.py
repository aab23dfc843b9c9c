"""Readers of the data files that a user has on disk. Each names the file in every error that it raises."""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from da_bench.settings import UserError

HOW_TO_SET_ROOT = "set the environment variable DA_BENCH_DATA, or give --data-root"
GZIP_MAGIC = b"\x1f\x8b"


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


def locate(root: Path, folder: str, names: tuple[str, ...]) -> dict[str, Path | None]:
    """Where each of `names` is under root/folder; None where it is not. "x.gz" may also lie there gunzipped, as "x"."""
    return {name: _first_file(root / folder / name, root / folder / name.removesuffix(".gz")) for name in names}


def _first_file(*candidates: Path) -> Path | None:
    return next((path for path in candidates if path.is_file()), None)


def find(root: Path | None, folder: str, names: tuple[str, ...], how_to_get: str) -> list[Path]:
    """The paths of all `names`, in their order, under root/folder; `how_to_get` says where they come from.

    Raises:
        UserError: one for all that is missing: which files, where they were looked for and where they come from.
    """
    try:
        place = data_root(root) / folder
    except UserError as error:
        needed = f"the data set '{folder}' needs {', '.join(names)} in the folder {folder}/ of the data root"
        raise UserError(f"{needed} (to get them: {how_to_get}), but {error}") from None
    found = locate(place.parent, folder, names)
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise UserError(
            f"missing in '{place}': {', '.join(missing)} (to get them: {how_to_get}); "
            f"if the data root is elsewhere, {HOW_TO_SET_ROOT}"
        )
    return [path for path in found.values() if path is not None]


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


def read_libsvm(path: Path, features: int) -> tuple[np.ndarray, np.ndarray]:
    """(inputs [n, features] float32, labels [n] float64) of a file of lines `label index:value ...`.

    The file is plain, .gz or .bz2. Indices count from 1; what a line leaves out is 0.

    Raises:
        UserError: unreadable, truncated, corrupt, a line that is none, an index out of 1..features, no finite value.
    """
    from sklearn.datasets import load_svmlight_file

    try:
        sparse, labels = load_svmlight_file(str(path), n_features=features, dtype=np.float32, zero_based=False)
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise _corrupt(path, str(error)) from None
    inputs = np.ascontiguousarray(sparse.toarray())
    if not len(labels):
        raise _corrupt(path, "it is empty")
    if not (np.isfinite(inputs).all() and np.isfinite(labels).all()):
        raise _corrupt(path, "it holds values that are not finite")
    return inputs, labels


def _corrupt(path: Path, fault: str) -> UserError:
    return UserError(f"cannot read '{path}': {fault}; get a fresh copy of it")
