"""Reading and writing safetensors, and refusing damaged or hostile files."""

import contextlib
import hashlib
import struct

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from da_bench.core.config import StorageError, UserError
from da_bench.pretrained.safetensors_file import read, read_metadata, write
from tests.helpers import published

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.float16([[1.5]]),
    "c": np.zeros((0, 2), np.int64),
    "d": np.array(3.0, np.float32),
    "e": np.asarray([1.0, -2.0], ml_dtypes.bfloat16),
}


def written(tmp_path, arrays=ARRAYS):
    write(tmp_path / "file.safetensors", arrays, {"key": "a text"}, "free some space")
    return tmp_path / "file.safetensors"


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for key, array in arrays.items():
        assert array.dtype == expected[key].dtype
        np.testing.assert_array_equal(array, expected[key])


def test_what_is_written_is_read_back(tmp_path):
    content = read(written(tmp_path))
    assert_same(content.arrays, ARRAYS)
    assert content.metadata == {"key": "a text"} == read_metadata(tmp_path / "file.safetensors")


def test_views_are_written_as_they_look(tmp_path):
    """A transposed array and every other row: the bytes in memory are in another order."""
    views = {"transposed": ARRAYS["b"].T, "strided": np.arange(8, dtype=np.float32)[::2]}
    assert_same(read(written(tmp_path, views)).arrays, views)


def test_files_by_other_programs_are_read(tmp_path):
    (tmp_path / "file").write_bytes(published.safetensors_bytes(published.arrays()))
    assert_same(read(tmp_path / "file").arrays, published.arrays())
    assert read_metadata(tmp_path / "file") == {}


def test_files_of_our_former_writer_are_read(tmp_path):
    """Its layout: metadata first, arrays in the order of their names, the header padded to a multiple of 8 bytes."""
    header = b'{"__metadata__": {"da_bench": "{}"}, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    header += b" " * (-len(header) % 8)
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + np.float32([1, 2]).tobytes())
    content = read(tmp_path / "file")
    assert_same(content.arrays, {"x": np.float32([1, 2])})
    assert content.metadata == {"da_bench": "{}"}


def test_a_file_is_written_atomically(tmp_path, monkeypatch):
    path = written(tmp_path)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StorageError, match=r"file\.safetensors.*No space left.*free some space"):
        written(tmp_path, {"x": np.zeros(3, np.float32)})
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.iterdir()) == [path]


def entry(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


def with_text(text):
    return struct.pack("<Q", len(text)) + text


TWICE = b'{"x": {"dtype": "F32", "shape": [2], "data_offsets": [%s]}, "x": {"dtype": "F32", "shape": [2], '
BAD = {
    "empty": b"",
    "a header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"{{" + bytes(8),
    "no object": struct.pack("<Q", 2) + b"[]",
    "a nest of lists": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "a nest of objects": with_text(b'{"x": ' * 50_000),
    "the same name twice": with_text(b'{"x": {}, "x":{}}'),
    "two arrays of one name": with_text(TWICE % b"0, 8" + b'"data_offsets": [8, 16]}}') + bytes(16),
    "two arrays of one name in reverse": with_text(TWICE % b"8, 16" + b'"data_offsets": [0, 8]}}') + bytes(16),
    "an unknown type": published.with_header(entry(dtype="F3")) + bytes(8),
    "a negative shape": published.with_header(entry(shape=[-1, -2])) + bytes(8),
    "a shape of 10^30": published.with_header(entry(shape=[10**30])) + bytes(8),
    "a shape whose product overflows": published.with_header(entry(shape=[2**33, 2**33])) + bytes(8),
    "a shape that is no number": published.with_header(entry(shape=["2"])) + bytes(8),
    "offsets beyond the file": published.with_header(entry(shape=[4], data_offsets=[0, 16])) + bytes(8),
    "offsets in reverse": published.with_header(entry(data_offsets=[8, 0])) + bytes(8),
    "offsets of another size": published.with_header(entry(shape=[3])) + bytes(8),
    "overlapping arrays": published.with_header({**entry(), "y": entry(data_offsets=[4, 12])["x"]}) + bytes(12),
    "a gap": published.with_header({**entry(), "y": entry(data_offsets=[12, 20])["x"]}) + bytes(20),
    "bytes at the end": published.with_header(entry()) + bytes(9),
    "no entry": published.with_header({"x": 3}),
    "metadata that is a list": published.with_header({"__metadata__": [1], **entry()}) + bytes(8),
    "metadata that is no text": published.with_header({"__metadata__": {"key": 1}, **entry()}) + bytes(8),
}


@pytest.mark.parametrize("reader", [read, read_metadata])
@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_message(content, reader, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(UserError, match=r"'.*bad'.*truncated or damaged"):
        reader(tmp_path / "bad")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    content, path = written(tmp_path).read_bytes(), tmp_path / "cut"
    for end in np.linspace(0, len(content) - 1, 50).astype(int):
        path.write_bytes(content[:end])
        with pytest.raises(UserError, match="truncated or damaged"):
            read(path)


@pytest.mark.parametrize("path", ["missing", "."])
def test_a_file_that_cannot_be_read_is_refused(path, tmp_path):
    with pytest.raises(UserError, match=r"No such file|Is a directory"):
        read(tmp_path / path)


def test_eight_bit_floats_are_read_or_refused_but_do_not_crash(tmp_path):
    """Some files of large language models hold them; no network here has any."""
    (tmp_path / "file").write_bytes(published.with_header(entry(dtype="F8_E4M3", shape=[8])) + bytes(8))
    with contextlib.suppress(UserError):
        assert read(tmp_path / "file").arrays["x"].shape == (8,)


def test_the_reference_package_agrees(tmp_path):
    plain = {name: array for name, array in ARRAYS.items() if name != "e"}  # its numpy loader has no bfloat16
    assert_same(safetensors.numpy.load_file(written(tmp_path, plain)), plain)
