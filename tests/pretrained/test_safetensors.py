"""Held to the format's own package, and to files that nobody should have written."""

import struct

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.pretrained.safetensors import read, read_words, written
from tests.helpers import published

pytestmark = pytest.mark.usefixtures("registered")

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.float16([[1.5]]),
    "c": np.zeros((0, 2), np.int64),
    "d": np.array(3.0, np.float32),
}


def ours(tmp_path, arrays=ARRAYS):
    path = tmp_path / "ours.safetensors"
    path.write_bytes(b"".join(written(arrays, {"said": "a word"})))
    return path


def same(one, other):
    assert one.keys() == other.keys()
    for key, array in one.items():
        assert array.dtype == other[key].dtype
        np.testing.assert_array_equal(array, other[key])


def test_what_is_written_is_what_the_formats_own_package_reads(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    same(ARRAYS, package.load_file(ours(tmp_path)))


def test_what_the_formats_own_package_writes_is_read(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    package.save_file(ARRAYS, tmp_path / "theirs", {"said": "a word"})
    stored = read(tmp_path / "theirs")
    same(ARRAYS, stored.arrays)
    assert stored.words == {"said": "a word"} == read_words(ours(tmp_path))


def entry(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


BAD = {
    "a header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"{{" + bytes(8),
    "no object": struct.pack("<Q", 2) + b"[]",
    "a nest of lists": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "the same name twice": struct.pack("<Q", 17) + b'{"x": {}, "x":{}}',
    "an unknown type": published.with_header(entry(dtype="F3")) + bytes(8),
    "a negative shape": published.with_header(entry(shape=[-1, -2])) + bytes(8),
    "a shape of 10^30": published.with_header(entry(shape=[10**30])) + bytes(8),
    "a shape that is no number": published.with_header(entry(shape=["2"])) + bytes(8),
    "offsets beyond the file": published.with_header(entry(shape=[4], data_offsets=[0, 16])) + bytes(8),
    "offsets in reverse": published.with_header(entry(data_offsets=[8, 0])) + bytes(8),
    "overlapping arrays": published.with_header({**entry(), "y": entry(data_offsets=[4, 12])["x"]}) + bytes(12),
    "a gap": published.with_header({**entry(), "y": entry(data_offsets=[12, 20])["x"]}) + bytes(20),
    "bytes at the end": published.with_header(entry()) + bytes(9),
    "no entry": published.with_header({"x": 3}),
    "words that are no words": published.with_header({"__metadata__": [1], **entry()}) + bytes(8),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_message(content, tmp_path):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(UserError, match=r"cannot use the weights '.*bad': it is truncated or damaged"):
        read(tmp_path / "bad")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole, path = ours(tmp_path).read_bytes(), tmp_path / "cut"
    for end in np.linspace(0, len(whole) - 1, 50).astype(int):
        path.write_bytes(whole[:end])
        with pytest.raises(UserError, match="truncated or damaged"):
            read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "none")
