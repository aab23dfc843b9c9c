"""Locks between processes.

A lock is a file with an advisory lock of the operating system. It ends with the process that holds it, however that
process ends. The file holds the process's id and is removed when the lock is released.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from da_bench.core.config import UserError
from da_bench.core.storage import storage_errors


class LockedError(UserError):
    """Another process holds a lock."""

    code = 75


@contextlib.contextmanager
def hold_locks(paths: Sequence[Path], on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold all of these locks inside the block.

    Args:
        paths: the lock files; they are locked in sorted order, so that two processes cannot wait for each other.
        on_wait: called with the id of the process that holds a lock before waiting for it. None: do not wait.

    Raises:
        LockedError: `on_wait` is None and another process holds one of the locks. None of them is held then.
        StorageError: a lock file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for path in sorted(paths):
            stack.enter_context(_hold_lock(path, on_wait))
        yield


@contextlib.contextmanager
def _hold_lock(path: Path, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    with _lock_errors(path):
        handle = _acquire(path, on_wait)
    try:
        with _lock_errors(path):
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: afterwards it might be the file of the next holder
        os.close(handle)


def _lock_errors(path: Path) -> contextlib.AbstractContextManager[None]:
    remedy = "free some space or grant permission to write there, and run the same command again"
    return storage_errors(f"lock '{path}'", remedy)


def _acquire(path: Path, on_wait: Callable[[str], None] | None) -> int:
    """Return a handle of the locked file."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 20).decode() or "?"
                if on_wait is None:
                    raise LockedError(f"process {holder} holds {path}") from None
                on_wait(holder)
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_same_file(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the previous holder removed the file after it was opened here


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
