"""Rows of arrays that are read only when they are needed, so that a memory-mapped file stays on disk."""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array

CHUNK = 1024  # rows copied at a time, so that a large file is in memory once and not twice


class _Lazy(abc.ABC):
    """What lazy arrays share with numpy arrays."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype:
        """Type of the array that this stands for."""

    @abc.abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read some rows."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes, if all of it were read."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows cannot become an array without a copy")
        array = np.empty(self.shape, dtype or self.dtype)
        for start in range(0, len(self), CHUNK):
            array[start : start + CHUNK] = self[start : start + CHUNK]
        return array


@dataclasses.dataclass(frozen=True, eq=False)
class Rows(_Lazy):
    """Some rows of an array, as an array [n, ...].

    `rows[key]`, with a number, a slice or an array of numbers, reads only those rows, into a numpy array.

    Attributes:
        array: array [N, ...].
        index: [n] integers, the rows.
    """

    array: Array
    index: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return (len(self.index), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the array."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self.array[self.index[key]])


@dataclasses.dataclass(frozen=True, eq=False)
class Joined(_Lazy):
    """Arrays of one shape and type, one after another, as an array [sum of n_i, ...].

    It is read by a slice, or by row numbers from 0 in an array of any shape.

    Attributes:
        parts: arrays [n_i, ...].
    """

    parts: tuple[Array | Rows, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return (sum(map(len, self.parts)), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the arrays."""
        return np.dtype(self.parts[0].dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(*key.indices(len(self))) if isinstance(key, slice) else np.asarray(key)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        values = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        start = 0
        for part in self.parts:
            inside = (start <= rows) & (rows < start + len(part))
            values[inside] = part[rows[inside] - start]
            start += len(part)
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Mixed(_Lazy):
    """Each row mixed with the next one, the last with the first: share x_i + (1 - share) x_(i+1).

    The result has the array's own type; integers are rounded.

    Attributes:
        array: array [n, ...].
        share: weight of the row itself, in [0, 1].
    """

    array: Array | Rows
    share: float

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of the array."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        current, following = (np.asarray(self.array[i], np.float64) for i in (rows, (rows + 1) % len(self)))
        mixed = self.share * current + (1 - self.share) * following
        return (np.rint(mixed) if np.issubdtype(self.dtype, np.integer) else mixed).astype(self.dtype)


def first(array: Array | Rows, n: int) -> Rows:
    """Return at most the first n rows, not read; `pool` recognises them as rows of the same array."""
    rows = array if isinstance(array, Rows) else Rows(array, np.arange(len(array)))
    return Rows(rows.array, rows.index[:n])


def pool(arrays: Sequence[Array | Rows]) -> tuple[Joined, list[np.ndarray]]:
    """Join arrays so that rows which several of them share are stored once.

    Args:
        arrays: arrays [n_i, ...] of one type and shape. `Rows` of the same array share their common rows; so does an
            array that is given twice.

    Returns:
        All inputs, none of them read, and for each of `arrays` the numbers of its rows in them, int32 [n_i].

    Raises:
        UserError: the arrays differ in type, or in shape beyond the first axis.
    """
    kinds = {(str(array.dtype), tuple(array.shape[1:])) for array in arrays}
    if len(kinds) > 1:
        raise UserError(f"the inputs of a run must have one type and shape, not {len(kinds)}: {sorted(kinds)}")
    lazy = [array if isinstance(array, Rows) else Rows(array, np.arange(len(array))) for array in arrays]
    stores = {id(rows.array): rows.array for rows in lazy}
    used = {store: np.unique(np.concatenate([r.index for r in lazy if id(r.array) == store])) for store in stores}
    start = dict(zip(used, np.cumsum([0, *map(len, used.values())])[:-1], strict=True))
    numbers = [start[id(r.array)] + np.searchsorted(used[id(r.array)], r.index) for r in lazy]
    return Joined(tuple(Rows(stores[store], used[store]) for store in stores)), [n.astype(np.int32) for n in numbers]
