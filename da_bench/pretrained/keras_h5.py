"""Reader of Keras' `.h5` files: the arrays of each layer, read as HDF5 and never as a model.

Only arrays that the file itself holds in full, reached by hard links, are read. Links to other names or files, external
storage, compressed arrays and Python objects are refused.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.pretrained.files import check_readable, damaged, unusable

KERAS_1_NAMES = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
Keys = tuple[str, ...]  # names of groups from the root of the file, and of a dataset at the end


def read(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file.

    Returns:
        Arrays by "layer/array": "conv1/kernel", "fire2/squeeze1x1/bias", "bn1/moving_variance".

    Raises:
        UserError: the file is not HDF5, truncated, damaged, or holds something else than arrays; or h5py is missing.
    """
    h5py = require_h5py()
    check_readable(path)
    size = path.stat().st_size
    try:
        with h5py.File(path, "r") as file:
            arrays = {name: _array(dataset, size, path) for name, dataset in _datasets(file, (), path, set())}
    except UserError:
        raise
    except Exception as error:  # h5py raises many kinds of errors on damaged files
        raise damaged(path, f"{error or type(error).__name__}") from None
    if not arrays:
        raise unusable(path, "it holds no arrays", "give the file of weights, not that of the network's configuration")
    return arrays


def require_h5py() -> Any:
    """Import h5py.

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


def _datasets(group: Any, keys: Keys, path: Path, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """All datasets below a group, with their short names.

    Args:
        group: of HDF5.
        keys: of the group.
        path: of the file, for error messages.
        seen: addresses of groups and names of datasets so far, to refuse cycles and duplicates.
    """
    import h5py

    _refuse_duplicate(h5py.h5o.get_info(group.id).addr, keys, path, seen)
    for key in group:
        child_keys = *keys, key
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise _refused(path, child_keys, "is a link to something else")
        child = group[key]
        if isinstance(child, h5py.Group):
            yield from _datasets(child, child_keys, path, seen)
        elif isinstance(child, h5py.Dataset):
            name = short_name(child_keys)
            _refuse_duplicate(name, child_keys, path, seen)
            yield name, child
        else:
            raise _refused(path, child_keys, f"is a {type(child).__name__}, neither group nor array")


def _refuse_duplicate(identity: Any, keys: Keys, path: Path, seen: set[Any]) -> None:
    if identity in seen:
        raise damaged(path, f"'{'/'.join(keys)}' is in it twice")
    seen.add(identity)


def _refused(path: Path, keys: Keys, fault: str) -> UserError:
    return unusable(path, f"'{'/'.join(keys)}' in it {fault}", "give a file written by Keras' save_weights")


def _array(dataset: Any, size: int, path: Path) -> np.ndarray:
    """Array of a dataset whose bytes are all in a file of `size` bytes, uncompressed."""
    keys = tuple(dataset.name.strip("/").split("/"))
    if dataset.dtype.kind not in "fiu":
        raise _refused(path, keys, f"holds {dataset.dtype}, not numbers")
    if dataset.external or dataset.is_virtual:
        raise _refused(path, keys, "has its numbers in another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise _refused(path, keys, "is compressed")
    if dataset.nbytes > size or dataset.id.get_storage_size() != dataset.nbytes:
        raise damaged(path, f"'{dataset.name}' of shape {dataset.shape} is not in it in full")
    return np.asarray(dataset[()])


def short_name(keys: Keys) -> str:
    """Name of an array, "layer/array", from its keys.

    The group of a layer holds the array's full name, which begins with the layer's own name again, sometimes numbered:
    "conv1/conv1_3/kernel:0", "fire2/squeeze1x1/fire2/squeeze1x1_3/kernel:0", or in Keras 1 "conv1/conv1_W_1:0".
    """
    layer = keys[: max(1, (len(keys) - 1) // 2)]
    array = re.sub(r"(_\d+)?(:0)?$", "", keys[-1]).removeprefix(f"{layer[-1]}_")
    return "/".join((*layer, KERAS_1_NAMES.get(array, array)))
