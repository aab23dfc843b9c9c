"""Reading files of weights in one piece, and the error messages that all readers share."""

from pathlib import Path

from da_bench.core.config import UserError

MAX_BYTES = 2**33  # more than any network here needs, less than what would exhaust a machine's memory


def check_readable(path: Path) -> None:
    """Refuse a file that is missing, unreadable, a folder, empty or larger than `MAX_BYTES`.

    Raises:
        UserError: it is one of these.
    """
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise unusable(path, error.strerror or str(error), "give the path of a readable file") from None
    if size > MAX_BYTES:
        raise unusable(path, f"it has more than {MAX_BYTES:,} bytes", "give a file with the weights of one network")
    if not size:
        raise damaged(path, "it is empty")


def read_bytes(path: Path) -> bytes:
    """Content of a file of weights.

    Raises:
        UserError: see `check_readable`.
    """
    check_readable(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unusable(path, error.strerror or str(error), "give the path of a readable file") from None


def unusable(path: Path, fault: str, remedy: str) -> UserError:
    """The error for a file that cannot be used."""
    return UserError(f"cannot use the weights '{path}': {fault}; {remedy}")


def damaged(path: Path, fault: str) -> UserError:
    """The error for a file that is not as it was published."""
    return unusable(path, f"it is truncated or damaged ({fault})", "download it again and compare its sha256")
