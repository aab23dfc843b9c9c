import bz2
import gzip

import numpy as np
import pytest

from da_bench.data.files import data_root, find, read_idx, read_libsvm
from da_bench.settings import UserError

# Two images of 2x3: unsigned bytes (08), three dimensions (03), the sizes as big-endian 32-bit, the bytes row by row.
IDX = bytes.fromhex("00000803 00000002 00000002 00000003") + bytes(range(12))


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [IDX, gzip.compress(IDX)], ids=["plain", "gzip"])
def test_idx_by_hand(tmp_path, content):
    array = read_idx(write(tmp_path / "images", content))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.arange(12).reshape(2, 2, 3))


def test_idx_of_labels(tmp_path):
    labels = read_idx(write(tmp_path / "labels", bytes.fromhex("00000801 00000004 05000401")))
    np.testing.assert_array_equal(labels, [5, 0, 4, 1])


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(IDX)[:-9],
        gzip.compress(IDX)[:-1],
        flipped(gzip.compress(IDX), -7),  # in the checksum
        flipped(gzip.compress(IDX), 14),  # in the compressed bytes
        gzip.compress(IDX) + b"more",
        gzip.compress(IDX[:-1]),
        IDX[:-1],
        IDX + b"\0",
        IDX[:10],
        flipped(IDX, 2),  # another type
        flipped(IDX, 0),
        flipped(IDX, 4),  # more images than any disk holds
        b"\0\0\x08\0",  # no dimension
        b"\0\0",
        b"",
        b"<html>not found</html>",
    ],
)
def test_no_idx_file_is_refused_by_name(tmp_path, content):
    with pytest.raises(UserError, match=r"train-images.*get a fresh copy"):
        read_idx(write(tmp_path / "train-images", content))


def test_idx_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


LIBSVM = b"7 1:-1 3:0.5\n10 2:1e-1\n"


@pytest.mark.parametrize(("name", "pack"), [("a", bytes), ("a.bz2", bz2.compress), ("a.gz", gzip.compress)])
def test_libsvm_by_hand(tmp_path, name, pack):
    inputs, labels = read_libsvm(write(tmp_path / name, pack(LIBSVM)), features=4)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, np.float32([[-1, 0, 0.5, 0], [0, 0.1, 0, 0]]))
    np.testing.assert_array_equal(labels, [7, 10])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("usps.bz2", bz2.compress(LIBSVM)[:-5]),
        ("usps.bz2", flipped(bz2.compress(LIBSVM), 12)),
        ("usps.bz2", LIBSVM),
        ("usps.gz", gzip.compress(LIBSVM)[:-5]),
        ("usps.gz", flipped(gzip.compress(LIBSVM), -7)),
        ("usps", b"7 1:-1 5:0.5\n"),  # four features only
        ("usps", b"7 0:-1\n"),  # indices count from 1
        ("usps", b"7 -3:1\n"),
        ("usps", b"7 99999999999999999999:1\n"),
        ("usps", b"7 1:-1 3\n"),
        ("usps", b"7 1:one\n"),
        ("usps", b"seven 1:1\n"),
        ("usps", b"7 3:1 1:1\n"),
        ("usps", b"7 1:nan\n"),
        ("usps", b"inf 1:1\n"),
        ("usps", b"\xff\xfe\x00\x01"),
        ("usps", b""),
    ],
)
def test_no_libsvm_file_is_refused_by_name(tmp_path, name, content):
    with pytest.raises(UserError, match=rf"{name}'.*get a fresh copy"):
        read_libsvm(write(tmp_path / name, content), features=4)


def test_libsvm_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_libsvm(tmp_path / "nowhere.bz2", features=4)


def test_data_root_is_the_argument_else_the_environment(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("DA_BENCH_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(tmp_path / "a") == tmp_path / "a"


@pytest.mark.parametrize("value", [None, "", "/no/such/folder"])
def test_no_data_root_says_how_to_set_it(monkeypatch, value):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("DA_BENCH_DATA", value)
    with pytest.raises(UserError, match=r"DA_BENCH_DATA.*--data-root"):
        data_root()


def test_find_takes_gunzipped_files_too(tmp_path):
    (tmp_path / "mnist").mkdir()
    packed, plain = write(tmp_path / "mnist" / "a.gz", b""), write(tmp_path / "mnist" / "b", b"")
    assert find(tmp_path, "mnist", ("a.gz", "b.gz"), "its site") == [packed, plain]


def test_find_names_all_that_is_missing_at_once(tmp_path):
    (tmp_path / "mnist").mkdir()
    write(tmp_path / "mnist" / "b.gz", b"")
    with pytest.raises(UserError) as caught:
        find(tmp_path, "mnist", ("a.gz", "b.gz", "c.gz"), "its site")
    message = str(caught.value)
    assert f"'{tmp_path / 'mnist'}': a.gz, c.gz (to get them: its site)" in message
    assert "DA_BENCH_DATA" in message
    assert "--data-root" in message


def test_find_without_a_root_lists_the_files(monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"a\.gz, b\.gz.*its site.*DA_BENCH_DATA.*--data-root"):
        find(None, "mnist", ("a.gz", "b.gz"), "its site")
