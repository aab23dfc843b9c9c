"""Files in the safetensors format, read and written by its own package with our error messages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  registers bfloat16 with numpy, for files that hold it
import numpy as np
import safetensors
import safetensors.numpy

from da_bench.core.storage import write_atomic
from da_bench.pretrained.files import check_readable, damaged, unusable


class SafetensorsFile(NamedTuple):
    """Content of a `.safetensors` file.

    Attributes:
        arrays: by name.
        metadata: texts by key, as the format allows them beside the arrays.
    """

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def read(path: Path) -> SafetensorsFile:
    """Read the arrays and metadata of a `.safetensors` file.

    Raises:
        UserError: the file cannot be read, is not in this format, truncated or damaged.
    """
    with _open(path) as file:
        return SafetensorsFile({name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {})  # noqa: SIM118


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata alone. UserError as in `read`."""
    with _open(path) as file:
        return file.metadata() or {}


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    check_readable(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise unusable(path, error.strerror or str(error), "give the path of a readable file") from None
    except (safetensors.SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise damaged(path, str(error)) from None


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], remedy: str) -> None:
    """Write a `.safetensors` file atomically.

    Args:
        path: the file; its folder is created.
        arrays: by name.
        metadata: texts by key.
        remedy: what the user can do if the file cannot be written, for the error message.

    Raises:
        StorageError: the file cannot be written.
    """
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomic(path, safetensors.numpy.save(contiguous, dict(metadata)), remedy)
