"""What all readers of weights share: reading a file whole, and the words in which it is refused."""

from pathlib import Path

from da_bench.core.config import UserError

MOST_BYTES = 2**33  # of one file: larger than any network here, smaller than what would fill a machine


def read_bytes(path: Path) -> bytes:
    """The content of a file of weights.

    Raises:
        UserError: not there, not readable, a folder, empty or larger than `MOST_BYTES`.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise unusable(path, f"it holds more than {MOST_BYTES:,} bytes", "give a file of one network's weights")
        content = path.read_bytes()
    except OSError as error:
        raise unusable(path, error.strerror or str(error), "give the path of a readable file") from None
    if not content:
        raise damaged(path, "it is empty")
    return content


def unusable(path: Path, fault: str, remedy: str) -> UserError:
    """The refusal of a file."""
    return UserError(f"cannot use the weights '{path}': {fault}; {remedy}")


def damaged(path: Path, fault: str) -> UserError:
    """The refusal of a file that is not as it was published."""
    return unusable(path, f"it is truncated or damaged ({fault})", "get it again, and compare its sha256")
