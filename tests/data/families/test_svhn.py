import numpy as np
import pytest
import scipy.io

from da_bench.core.config import UserError
from da_bench.data.families import svhn
from da_bench.data.family import FAMILIES

COUNTS = {"train": 12, "test": 5}


@pytest.fixture
def files(tmp_path, monkeypatch, rng):
    """Write both .mat files in MATLAB's layout, X [32, 32, 3, n] uint8 and y [n, 1]; return their arrays by part."""
    monkeypatch.setattr(svhn, "COUNTS", COUNTS)
    content = {
        part: {"X": rng.integers(0, 256, (32, 32, 3, n), np.uint8), "y": np.arange(n)[:, None] % 10 + 1.0}
        for part, n in COUNTS.items()
    }
    for part, arrays in content.items():
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", arrays, do_compression=True)
    return content


def test_miniature_is_read(tmp_path, files):
    parts = svhn.read(tmp_path)
    for part, n in COUNTS.items():
        assert (parts[part].inputs.shape, parts[part].inputs.dtype) == ((n, 32, 32, 3), np.uint8)
        for i in range(n):
            np.testing.assert_array_equal(parts[part].inputs[i], files[part]["X"][:, :, :, i])
    # "0" has label 10; the first label is 1.
    assert parts["train"].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    assert parts["train"].labels.dtype == np.int32
    assert parts["train"].classes == tuple("0123456789")


def test_extra_part_is_ignored(tmp_path, files):
    (tmp_path / "extra_32x32.mat").write_bytes(b"not even a .mat file")
    assert set(svhn.read(tmp_path)) == {"train", "test"}
    assert FAMILIES["svhn"].files("svhn") == ("train_32x32.mat", "test_32x32.mat")


def test_declared_counts_are_the_published_ones():
    # Netzer et al. 2011: 73257 digits for training, 26032 digits for testing.
    assert FAMILIES["svhn"].domains == {"svhn": {"train": 73257, "test": 26032}}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"X": np.zeros((32, 32, 3, 4), np.uint8)}, r"holds \(\(32, 32, 3, 4\), 'uint8'\), but"),
        ({"X": np.zeros((5, 32, 32, 3), np.uint8)}, r"holds \(\(5, 32, 32, 3\), 'uint8'\), but"),
        ({"X": np.zeros((32, 32, 3, 5))}, "'float64'.* but"),
        ({"y": np.zeros((5, 1))}, r"1\.\.10"),
        ({"y": np.full((5, 1), 11)}, r"1\.\.10"),
        ({"y": np.full((5, 1), 1.5)}, r"1\.\.10"),
        ({"y": np.full((5, 1), np.nan)}, r"1\.\.10"),
        ({"y": np.ones((4, 1))}, r"holds \(4, 1\), but \(5, 1\)"),
        ({"y": np.array([["a"]] * 5, object)}, r"1\.\.10"),
        ({"y": None}, "has no array y; it has: X"),
    ],
)
def test_invalid_content_is_refused(tmp_path, files, changed, fault):
    arrays = {name: array for name, array in {**files["test"], **changed}.items() if array is not None}
    scipy.io.savemat(tmp_path / "test_32x32.mat", arrays)
    with pytest.raises(UserError, match=rf"test_32x32\.mat'.*{fault}"):
        svhn.read(tmp_path)


@pytest.mark.parametrize("damage", [lambda content: content[:-50], lambda _: b"", lambda _: b"MATLAB 7.3 MAT-file, "])
def test_damaged_files_are_refused(tmp_path, files, damage):
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"train_32x32\.mat'.*(get a fresh copy|-v7)"):
        svhn.read(tmp_path)
