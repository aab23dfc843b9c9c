"""What is on disk for good."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Return when a file, or the names in a folder, would outlast a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
