"""Locks among processes that end with their holder, however it ends, and leave no file behind when it ends well."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from da_bench.core.config import StorageError, UserError


class HeldError(UserError):
    """Another process holds a lock."""

    code = 75


@contextlib.contextmanager
def hold(paths: Sequence[Path]) -> Iterator[None]:
    """Hold all of these locks.

    Raises:
        HeldError: another process has one of them; none is held then. The message says which process.
        StorageError: a lock's file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for path in sorted(paths):
            stack.enter_context(_hold(path))
        yield


@contextlib.contextmanager
def _hold(path: Path) -> Iterator[None]:
    with _written(path):
        handle = _locked(path)
    try:
        with _written(path):
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is given up, so that it is ours that goes
        os.close(handle)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot lock '{path}': {error.strerror or error}; make room or give permission there, and the same "
            "command makes what is missing"
        ) from error


def _locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(handle, path):
                return handle
        except BlockingIOError:
            holder = os.read(handle, 20).decode() or "?"
            os.close(handle)
            raise HeldError(f"process {holder} holds {path}") from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder removed it between our opening and our locking


def _same(handle: int, path: Path) -> bool:
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
