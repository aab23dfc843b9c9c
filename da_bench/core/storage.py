"""Atomic writes, and the folder of files that can be computed again.

Every file and folder that da_bench writes appears complete or not at all, even if the process is killed, the disk is
full or the power fails: it is written under a temporary name, flushed to disk, and renamed.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from da_bench.core.config import StorageError

REMEDY = "free some space, grant permission to write there, or choose another path"


def cache_folder(part: str) -> Path:
    """Return the folder for one kind of file that can be computed again.

    It is in $DA_BENCH_CACHE, else in $XDG_CACHE_HOME/da-bench (if that is an absolute path, as its specification
    demands), else in ~/.cache/da-bench.

    Args:
        part: what the folder holds: "packs" (decoded images), "weights", "features" or "programs" (compiled by JAX).
    """
    if folder := os.environ.get("DA_BENCH_CACHE"):
        return Path(folder).expanduser() / part
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "da-bench" / part


@contextlib.contextmanager
def storage_errors(action: str, remedy: str = REMEDY) -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError.

    Args:
        action: what failed, with the path: "write 'card.md'". The message reads "cannot {action}: {cause}; {remedy}".
        remedy: what the user can do.

    Raises:
        StorageError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action}: {error.strerror or error}; {remedy}") from error


@contextlib.contextmanager
def atomic_file(path: Path, remedy: str = REMEDY) -> Iterator[BinaryIO]:
    """Open a file for writing whose content replaces `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part. The temporary file is removed on any error. Missing folders
    are created. Devices such as /dev/stdout are written directly.

    Args:
        path: the file; of a symbolic link, its target is replaced.
        remedy: what the user can do if the file cannot be written, for the error message.

    Raises:
        StorageError: the file cannot be written; what was there before still is.
    """
    with storage_errors(f"write '{path}'", remedy):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as file:
                yield file
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str, remedy: str = REMEDY) -> Path:
    """Write `content` (text as UTF-8) to `path` with the guarantees of `atomic_file`; return `path`.

    Raises:
        StorageError: the file cannot be written; what was there before still is.
    """
    with atomic_file(path, remedy) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def publish_folder(draft: Path, folder: Path) -> None:
    """Flush the files of `draft` to disk and rename it to `folder`, so that the folder appears at once and complete.

    Raises:
        OSError: `folder` exists and is not empty, or the disk fails.
    """
    for path in [*draft.rglob("*"), draft]:
        sync(path)
    draft.rename(folder)
    sync(folder.parent)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that it disappears at once: other processes never see a half-removed folder.

    It is renamed to ".NAME-removed" first. That is what remains if the process is killed meanwhile. A missing folder is
    not an error.

    Raises:
        OSError: the folder cannot be renamed.
    """
    removed = folder.with_name(f".{folder.name}-removed")
    shutil.rmtree(removed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file, or the list of names of a folder, to disk, so that it outlasts a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
