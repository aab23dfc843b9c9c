import bz2
import gzip
import io
import zipfile

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.files import (
    array_names,
    check_published,
    data_root,
    find_files,
    first_existing,
    locate_files,
    read_arrays,
    read_idx,
    read_libsvm,
)

# Two images of 2x3: unsigned bytes (08), three dimensions (03), the sizes as big-endian 32-bit, the bytes row by row.
IDX = bytes.fromhex("00000803 00000002 00000002 00000003") + bytes(range(12))


def gzip_bytes(content):
    """Compress without a time stamp, so that every test worker collects the same test ids."""
    return gzip.compress(content, mtime=0)


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [IDX, gzip_bytes(IDX)], ids=["plain", "gzip"])
def test_idx_images_are_read(tmp_path, content):
    array = read_idx(write(tmp_path / "images", content))
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.arange(12).reshape(2, 2, 3))


def test_idx_labels_are_read(tmp_path):
    labels = read_idx(write(tmp_path / "labels", bytes.fromhex("00000801 00000004 05000401")))
    np.testing.assert_array_equal(labels, [5, 0, 4, 1])


def flip_byte(content, at):
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


@pytest.mark.parametrize(
    "content",
    [
        gzip_bytes(IDX)[:-9],
        gzip_bytes(IDX)[:-1],
        flip_byte(gzip_bytes(IDX), -7),  # in the checksum
        flip_byte(gzip_bytes(IDX), 14),  # in the compressed bytes
        gzip_bytes(IDX) + b"more",
        gzip_bytes(IDX[:-1]),
        IDX[:-1],
        IDX + b"\0",
        IDX[:10],
        flip_byte(IDX, 2),  # another type
        flip_byte(IDX, 0),
        flip_byte(IDX, 4),  # more images than any disk holds
        b"\0\0\x08\0",  # no dimension
        b"\0\0",
        b"",
        b"<html>not found</html>",
    ],
)
def test_invalid_idx_file_is_refused(tmp_path, content):
    with pytest.raises(UserError, match=r"train-images.*get a fresh copy"):
        read_idx(write(tmp_path / "train-images", content))


def test_missing_idx_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


LIBSVM = b"7 1:-1 3:0.5\n10 2:1e-1\n"


@pytest.mark.parametrize(("name", "compress"), [("a", bytes), ("a.bz2", bz2.compress), ("a.gz", gzip.compress)])
def test_libsvm_is_read_plain_and_compressed(tmp_path, name, compress):
    inputs, labels = read_libsvm(write(tmp_path / name, compress(LIBSVM)), features=4)
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, np.float32([[-1, 0, 0.5, 0], [0, 0.1, 0, 0]]))
    np.testing.assert_array_equal(labels, [7, 10])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("usps.bz2", bz2.compress(LIBSVM)[:-5]),
        ("usps.bz2", flip_byte(bz2.compress(LIBSVM), 12)),
        ("usps.bz2", LIBSVM),
        ("usps.gz", gzip_bytes(LIBSVM)[:-5]),
        ("usps.gz", flip_byte(gzip_bytes(LIBSVM), -7)),
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
def test_invalid_libsvm_file_is_refused(tmp_path, name, content):
    with pytest.raises(UserError, match=rf"{name}'.*get a fresh copy"):
        read_libsvm(write(tmp_path / name, content), features=4)


def test_zero_based_libsvm_indices(tmp_path):
    inputs, labels = read_libsvm(write(tmp_path / "a", b"-1 0:2 3:1\n"), features=4, zero_based=True)
    np.testing.assert_array_equal(inputs, np.float32([[2, 0, 0, 1]]))
    assert labels.tolist() == [-1]
    with pytest.raises(UserError, match=r"a' ?.*have to be in 0\.\.3"):
        read_libsvm(write(tmp_path / "a", b"-1 1:2 4:1\n"), features=4, zero_based=True)
    with pytest.raises(UserError, match=r"a' ?.*have to be in 1\.\.4"):
        read_libsvm(write(tmp_path / "a", b"-1 0:2 3:1\n"), features=4)


def test_missing_libsvm_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        read_libsvm(tmp_path / "nowhere.bz2", features=4)


def test_data_root_argument_overrides_the_environment(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.setenv("DA_BENCH_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(tmp_path / "a") == tmp_path / "a"


@pytest.mark.parametrize("value", [None, "", "/no/such/folder"])
def test_missing_data_root_names_the_ways_to_set_it(monkeypatch, value):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("DA_BENCH_DATA", value)
    with pytest.raises(UserError, match=r"DA_BENCH_DATA.*--data-root"):
        data_root()


def test_find_files_accepts_gunzipped_files(tmp_path):
    (tmp_path / "mnist").mkdir()
    packed, plain = write(tmp_path / "mnist" / "a.gz", b""), write(tmp_path / "mnist" / "b", b"")
    assert find_files(tmp_path, "mnist", ("a.gz", "b.gz"), "its site") == [packed, plain]


def test_find_files_names_all_missing_files(tmp_path):
    (tmp_path / "mnist").mkdir()
    write(tmp_path / "mnist" / "b.gz", b"")
    with pytest.raises(UserError) as caught:
        find_files(tmp_path, "mnist", ("a.gz", "b.gz", "c.gz"), "its site")
    message = str(caught.value)
    assert f"'{tmp_path / 'mnist'}': a.gz, c.gz (to get them: its site)" in message
    assert "DA_BENCH_DATA" in message
    assert "--data-root" in message


def test_find_files_without_a_root_lists_the_files(monkeypatch):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"a\.gz, b\.gz.*its site.*DA_BENCH_DATA.*--data-root"):
        find_files(None, "mnist", ("a.gz", "b.gz"), "its site")


def test_find_files_directly_in_the_root(tmp_path):
    (tmp_path / "b").mkdir()
    assert find_files(tmp_path, ".", ("b",), "its site") == [tmp_path / "b"]
    with pytest.raises(UserError, match=rf"missing in '{tmp_path}': a \(to"):
        find_files(tmp_path, ".", ("a", "b"), "its site")


def test_alternative_file_names_are_tried_in_order(tmp_path):
    (tmp_path / "f" / "sub").mkdir(parents=True)
    names = ("x.mat|y.mat", "none.gz|sub", "neither|nor")
    located = locate_files(tmp_path, "f", names)
    assert located == {names[0]: None, names[1]: tmp_path / "f" / "sub", names[2]: None}
    new, old = write(tmp_path / "f" / "y.mat", b""), tmp_path / "f" / "x.mat"
    assert locate_files(tmp_path, "f", names)[names[0]] == new
    assert locate_files(tmp_path, "f", names)[names[0]] != write(old, b"")
    assert locate_files(tmp_path, "f", names)[names[0]] == old  # the first has precedence
    with pytest.raises(UserError, match=r"f': neither or nor \(to get them"):
        find_files(tmp_path, "f", names, "its site")


def test_first_existing_defaults_to_the_first_path(tmp_path):
    assert first_existing(tmp_path / "a.gz", tmp_path / "b.gz") == tmp_path / "a.gz"
    plain = write(tmp_path / "b", b"")
    assert first_existing(tmp_path / "a.gz", tmp_path / "b.gz") == plain


def test_check_published_names_both_values():
    check_published("a", (3, 2), (3, 2))
    with pytest.raises(UserError, match=r"'a' holds 3, but 4 is published; get a fresh copy"):
        check_published("a", 3, 4)


def npz(save=np.savez, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def npy(header, values=b"", version=b"\x01\x00"):
    """Build an .npz with one array "X" from its .npy header."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + values)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_arrays_are_read(tmp_path, rng, save):
    x = rng.normal(size=(3, 2))
    path = write(tmp_path / "a.npz", npz(save, X=x, bytes=np.array([b"ab", b"c"]), flags=np.array([True, False])))
    assert array_names(path) == ("X", "bytes", "flags")
    names, flags, array = read_arrays(path, ["bytes", "flags", "X"])
    np.testing.assert_array_equal(array, x)
    assert names.tolist() == ["ab", "c"]
    assert flags.tolist() == [True, False]


HEADER = b"{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n"
VALID_NPZ = npz(X=np.arange(100.0))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (VALID_NPZ[:-1], "get a fresh copy"),
        (VALID_NPZ[: len(VALID_NPZ) // 2], "get a fresh copy"),
        (flip_byte(VALID_NPZ, 400), "CRC.*get a fresh copy"),
        (b"", "get a fresh copy"),
        (b"<html>not found</html>", "get a fresh copy"),
        (npz(Y=np.zeros(2), Z=np.zeros(2)), "has no array X; it has: Y, Z"),
        (npz(), "has no array X; it has: none"),
        (npz(X=np.array([1, "a", None], dtype=object)), "type object"),
        (npz(X=np.array([(1, 2.0)], dtype="i4,f8")), "type V"),
        (npz(X=np.array([1j])), "type c"),
        (npz(X=np.array(["2020-01-01"], "M8[D]")), "type M"),
        (npy(HEADER % (b"<f8", b"(1000000, 1000000)")), "declares 8000000000000 bytes, more than such a file"),
        (npy(HEADER % (b"<f8", b"(100000,)")), "declares 800000 bytes, more than such a file"),
        (npy(HEADER % (b"<f8", b"(3,)"), bytes(8)), "get a fresh copy"),
        (npy(HEADER % (b"<f8", b"(-3,)"), bytes(8)), "get a fresh copy"),
        (npy(HEADER % (b"nonsense", b"(3,)")), "get a fresh copy"),
        (npy(b"__import__('os').abort()"), "get a fresh copy"),
        (npy(HEADER % (b"<f8", b"(0,)"), version=b"\x07\x00"), "get a fresh copy"),
    ],
)
def test_invalid_npz_file_is_refused(tmp_path, content, fault):
    path = write(tmp_path / "bad.npz", content)
    with pytest.raises(UserError, match=rf"bad\.npz'.*{fault}"):
        read_arrays(path, ["X"])


def test_arrays_over_the_size_limit_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("da_bench.data.files.MAX_BYTES", 100)
    with pytest.raises(UserError, match="declares 800 bytes, more than"):
        read_arrays(write(tmp_path / "big.npz", VALID_NPZ), ["X"])


def test_missing_array_file_is_named(tmp_path):
    for name in ("nowhere.npz", "nowhere.mat"):
        with pytest.raises(UserError, match=rf"{name}'.*No such file"):
            read_arrays(tmp_path / name, ["X"])
