"""Keras' `.h5` files: the arrays of each layer. Read as HDF5, never as a model.

Only what lies in the file itself is read: arrays that are there in full, reached by hard links. A link to another name
or file, numbers kept elsewhere, compressed ones or Python objects are refused.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.pretrained.files import damaged, read_bytes, unusable

OLD = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}  # of Keras 1


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, called "layer/array": "conv1/kernel", "fire2/squeeze1x1/bias", "bn1/moving_variance".

    Raises:
        UserError: it is no HDF5 file, truncated or damaged, or holds something else than arrays; h5py is not there.
    """
    h5py, size = require_h5py(), len(read_bytes(path))
    try:
        with h5py.File(path, "r") as file:
            found = {name: _array(one, size, path) for name, one in _arrays(file, (), path, set())}
    except UserError:
        raise
    except Exception as error:  # h5py raises many kinds on damaged files
        raise damaged(path, f"{error or type(error).__name__}") from None
    if not found:
        raise unusable(path, "it holds no arrays", "give the file of weights, not that of the network's configuration")
    return found


def require_h5py() -> Any:
    """The package that reads HDF5.

    Raises:
        UserError: it is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UserError(
            'Keras\' .h5 files need a package that is not installed: pip install "da-bench[weights]"'
        ) from None
    return h5py


def _arrays(group: Any, path: tuple[str, ...], file: Path, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """Every array below a group, by its short name; seen: the groups' places in the file, and those names."""
    import h5py

    _once(h5py.h5o.get_info(group.id).addr, path, file, seen)
    for key in group:
        here = *path, key
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise _refused(file, here, "is a link to something else")
        item = group[key]
        if isinstance(item, h5py.Group):
            yield from _arrays(item, here, file, seen)
        elif isinstance(item, h5py.Dataset):
            _once(short(here), here, file, seen)
            yield short(here), item
        else:
            raise _refused(file, here, f"is a {type(item).__name__}, neither group nor array")


def _once(thing: Any, path: tuple[str, ...], file: Path, seen: set[Any]) -> None:
    if thing in seen:
        raise damaged(file, f"'{'/'.join(path)}' is there twice")
    seen.add(thing)


def _refused(file: Path, path: tuple[str, ...], fault: str) -> UserError:
    return unusable(file, f"'{'/'.join(path)}' in it {fault}", "give a file as Keras' save_weights writes it")


def _array(item: Any, size: int, file: Path) -> np.ndarray:
    """The array of a dataset whose bytes are all in the file, as they are."""
    path = tuple(item.name.strip("/").split("/"))
    if item.dtype.kind not in "fiu":
        raise _refused(file, path, f"holds {item.dtype}, not numbers")
    if item.external or item.is_virtual:
        raise _refused(file, path, "has its numbers in another file")
    if item.id.get_create_plist().get_nfilters():
        raise _refused(file, path, "is compressed")
    if item.nbytes > size or item.id.get_storage_size() != item.nbytes:
        raise damaged(file, f"'{item.name}' of shape {item.shape} is not in it in full")
    return np.asarray(item[()])


def short(path: tuple[str, ...]) -> str:
    """The name of an array from its path.

    A layer's group holds the array's full name, which begins with the layer's own again, at times numbered:
    "conv1/conv1_3/kernel:0", "fire2/squeeze1x1/fire2/squeeze1x1_3/kernel:0", or in Keras 1 "conv1/conv1_W_1:0".
    """
    own = path[: max(1, (len(path) - 1) // 2)]
    array = re.sub(r"(_\d+)?(:0)?$", "", path[-1]).removeprefix(f"{own[-1]}_")
    return "/".join((*own, OLD.get(array, array)))
