"""Lazy arrays behave like the arrays that they represent and read only the requested rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.lazy_arrays import Joined, Mixed, Rows, first, pool


class Counted:
    """An array that counts the rows read from it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        values = self.array[key]
        self.read += len(values)
        return values


@pytest.fixture
def array(rng):
    return rng.integers(0, 256, (20, 3, 2)).astype(np.uint8)


@pytest.fixture(params=["rows", "joined"])
def lazy(request, array):
    """Return a lazy array and the array that it represents."""
    index = np.array([4, 19, 0, 7, 7, 3])
    if request.param == "rows":
        return Rows(array, index), array[index]
    return Joined((Rows(array, index), array[:5], array[:0], array[9:])), np.concatenate(
        [array[index], array[:5], array[9:]]
    )


def test_lazy_array_has_the_attributes_of_the_array(lazy):
    rows, expected = lazy
    for name in ("shape", "dtype", "ndim", "nbytes"):
        assert getattr(rows, name) == getattr(expected, name)
    assert len(rows) == len(expected)


@pytest.mark.parametrize(
    "key", [slice(None), slice(2, 5), slice(-2, None), slice(0, 0), np.array([5, 0, 0]), np.array([[1, 2], [5, 3]]), 3]
)
def test_indexing_equals_that_of_the_array(lazy, key):
    rows, expected = lazy
    assert isinstance(rows[key], np.ndarray)
    np.testing.assert_array_equal(rows[key], expected[key])


def test_conversion_gives_the_array(lazy):
    rows, expected = lazy
    for converted in (
        np.asarray(rows),
        np.array(rows),
        jnp.asarray(rows),
        np.concatenate([rows]),
        np.array(rows, copy=True),
    ):
        np.testing.assert_array_equal(converted, expected)
        assert converted.dtype == np.uint8
    assert np.asarray(rows, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="without a copy"):
        np.array(rows, copy=False)


def test_index_out_of_range_is_refused(lazy):
    rows, expected = lazy
    for key in (len(expected), np.array([0, 99])):
        with pytest.raises(IndexError):
            rows[key]


def test_only_requested_rows_are_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    read = Rows(mapped, np.array([3, 1]))[:]
    assert type(read) is np.ndarray
    np.testing.assert_array_equal(read, array[[3, 1]])
    counted = Counted(array)
    Joined((Rows(counted, np.arange(10)), Rows(counted, np.arange(20))))[np.array([2, 15])]
    assert counted.read == 2


def test_pool_stores_shared_rows_once(array, rng):
    other = rng.integers(0, 256, (6, 3, 2)).astype(np.uint8)
    arrays = [Rows(array, np.array([5, 1, 9])), other, Rows(array, np.array([9, 2])), other]
    inputs, row_numbers = pool(arrays)
    assert len(inputs) == 4 + 6
    assert [rows.dtype for rows in row_numbers] == [np.int32] * 4
    for lazy_array, indices in zip(arrays, row_numbers, strict=True):
        np.testing.assert_array_equal(inputs[indices], lazy_array[:])


def test_pool_does_not_read_rows(array):
    counted = Counted(array)
    inputs, _ = pool([Rows(counted, np.arange(5)), counted])
    assert inputs.nbytes == array.nbytes
    assert counted.read == 0


def test_pool_refuses_different_dtypes(array):
    with pytest.raises(UserError, match=r"float32.*uint8"):
        pool([array, array.astype(np.float32)])


def test_mixed_rows_combine_each_row_with_the_next(rng):
    array = rng.normal(size=(5, 2, 3)).astype(np.float32)
    mixed = Mixed(Rows(array, np.array([3, 0, 4])), 0.75)
    expected = np.stack([0.75 * array[i] + 0.25 * array[j] for i, j in ((3, 0), (0, 4), (4, 3))])
    assert (mixed.shape, mixed.dtype, len(mixed)) == ((3, 2, 3), np.float32, 3)
    np.testing.assert_allclose(mixed[:], expected, rtol=1e-6)
    np.testing.assert_array_equal(mixed[np.array([2, 0])], mixed[:][[2, 0]])


def test_mixed_images_are_rounded(array):
    mixed = Mixed(array, 0.5)[:]
    assert mixed.dtype == np.uint8
    assert np.abs(mixed - (array / 2 + np.roll(array, -1, axis=0) / 2)).max() <= 0.5


def test_first_shares_rows_in_a_pool(array):
    joined, (all_rows, first_rows) = pool(
        [Rows(array, np.array([4, 19, 0])), first(Rows(array, np.array([4, 19, 0])), 2)]
    )
    assert len(joined) == 3
    np.testing.assert_array_equal(first_rows, all_rows[:2])
    assert len(pool([array, first(array, 50)])[0]) == len(array)
