"""Python files of the user's, such as one that defines EXPERIMENTS or registers a method."""

import runpy
import traceback
from pathlib import Path
from typing import Any

from da_bench.core.config import UserError


def run_file(path: Path) -> dict[str, Any]:
    """Run a Python file.

    Args:
        path: the file.

    Returns:
        The names that it defines.

    Raises:
        UserError: no such file, or it ends in an error; the message names the error and the line of the file.
    """
    if not path.is_file():
        raise UserError(f"no such file: {path}")
    try:
        return runpy.run_path(str(path))
    except UserError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f", line {lines[-1]}," if lines else ""
        raise UserError(f"{path}{line} cannot be loaded: {type(error).__name__}: {error}") from error
