"""What is on disk for good, and where what can be made again lies."""

import os
from collections.abc import Iterable
from pathlib import Path


def cache(part: str) -> Path:
    """The folder `part` under $DA_BENCH_CACHE, else $XDG_CACHE_HOME/da-bench, else ~/.cache/da-bench."""
    if given := os.environ.get("DA_BENCH_CACHE"):
        return Path(given).expanduser() / part
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "da-bench" / part


def publish(path: Path, content: Iterable[bytes | memoryview]) -> None:
    """Write a file, which is there whole or not at all; OSError: not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.writelines(content)
        flush(draft)
        draft.rename(path)
        flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Return when a file, or the names in a folder, would outlast a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
