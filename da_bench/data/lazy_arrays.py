"""Rows of arrays that are not read before they are asked for, so that a memory-mapped file stays on disk."""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array

CHUNK = 1024  # rows copied at a time, so that a large file is in memory once, not twice


class _Lazy(abc.ABC):
    """What all of them share with an array."""

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the array that this stands for."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype:
        """Of the array that this stands for."""

    @abc.abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read some of it."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How large it would be in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows cannot become an array without a copy")
        whole = np.empty(self.shape, dtype or self.dtype)
        for start in range(0, len(self), CHUNK):
            whole[start : start + CHUNK] = self[start : start + CHUNK]
        return whole


@dataclasses.dataclass(frozen=True, eq=False)
class Rows(_Lazy):
    """Rows `index` [n], integers, of an array [N, ...], as an array of shape [n, ...].

    `rows[i]`, with a number, a slice or an array of numbers, reads just those, into a numpy array.
    """

    array: Array
    index: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return (len(self.index), *self.array.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Of the inputs."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self.array[self.index[key]])


@dataclasses.dataclass(frozen=True, eq=False)
class Joined(_Lazy):
    """Arrays [n_i, ...] of one shape and type, one after another, as an array [sum of n_i, ...].

    Read by a slice, or by numbers, counted from 0, in an array of any shape.
    """

    parts: tuple[Array | Rows, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return (sum(map(len, self.parts)), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Of the inputs."""
        return np.dtype(self.parts[0].dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        wanted = np.arange(*key.indices(len(self))) if isinstance(key, slice) else np.asarray(key)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)}")
        found = np.empty((*wanted.shape, *self.shape[1:]), self.dtype)
        start = 0
        for part in self.parts:
            mine = (start <= wanted) & (wanted < start + len(part))
            found[mine] = part[wanted[mine] - start]
            start += len(part)
        return found


@dataclasses.dataclass(frozen=True, eq=False)
class Mixed(_Lazy):
    """Each row of an array [n, ...] mixed with the next, the last with the first: share x_i + (1 - share) x_(i+1).

    Of the array's own type; integers are rounded.
    """

    array: Array | Rows
    share: float

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...]."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(len(self))[key]
        one, other = (np.asarray(self.array[i], np.float64) for i in (rows, (rows + 1) % len(self)))
        mixed = self.share * one + (1 - self.share) * other
        return (np.rint(mixed) if np.issubdtype(self.dtype, np.integer) else mixed).astype(self.dtype)


def first(array: Array | Rows, n: int) -> Rows:
    """The first n rows, at most, not read; `pool` knows them for the same array's."""
    rows = array if isinstance(array, Rows) else Rows(array, np.arange(len(array)))
    return Rows(rows.array, rows.index[:n])


def pool(arrays: Sequence[Array | Rows]) -> tuple[Joined, list[np.ndarray]]:
    """(all inputs, each once and none read, and of each of `arrays` the rows of it there, int32).

    `Rows` of the same array share what they have in common, and so does an array that is given twice.

    Raises:
        UserError: the arrays differ in type, or in shape beyond the first axis.
    """
    kinds = {(str(array.dtype), tuple(array.shape[1:])) for array in arrays}
    if len(kinds) > 1:
        raise UserError(f"the inputs of a run must be alike, and are of {len(kinds)} types and shapes: {sorted(kinds)}")
    whole = [array if isinstance(array, Rows) else Rows(array, np.arange(len(array))) for array in arrays]
    stores = {id(rows.array): rows.array for rows in whole}
    used = {name: np.unique(np.concatenate([r.index for r in whole if id(r.array) == name])) for name in stores}
    start = dict(zip(used, np.cumsum([0, *map(len, used.values())])[:-1], strict=True))
    places = [start[id(r.array)] + np.searchsorted(used[id(r.array)], r.index) for r in whole]
    return Joined(tuple(Rows(stores[name], used[name]) for name in stores)), [p.astype(np.int32) for p in places]
