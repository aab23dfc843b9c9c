import os
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.families.mnist import _examples, read


def root():
    """Return the data root; skip the test if it does not hold the family."""
    data_root = os.environ.get("DA_BENCH_DATA")
    if not data_root or not Path(data_root, "mnist").is_dir():
        pytest.skip("needs the real mnist files: set DA_BENCH_DATA to a folder that has mnist/")
    return Path(data_root)


def test_real_mnist_has_the_published_statistics():
    train, test = read(root() / "mnist").values()
    assert [part.inputs.shape for part in (train, test)] == [(60000, 28, 28, 1), (10000, 28, 28, 1)]
    assert train.inputs.dtype == np.uint8
    # LeCun's page: the class counts of the 60000; mean and standard deviation 0.1307 and 0.3081 are in every tutorial.
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.inputs.mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def fake_mnist(folder, images, labels):
    head = b"\0\0\x08"
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            head + b"\x03" + images.to_bytes(4, "big") + (28).to_bytes(4, "big") * 2 + bytes(images * 784)
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            head + b"\x01" + len(labels).to_bytes(4, "big") + bytes(labels)
        )


def test_count_other_than_published_is_refused(tmp_path):
    fake_mnist(tmp_path, 3, [0, 1, 2])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte' holds \(3, 28, 28\).*\(60000, 28, 28\)"):
        read(tmp_path)


def test_labels_that_are_not_digits_are_refused(tmp_path):
    fake_mnist(tmp_path, 1, [10])
    paths = [tmp_path / f"train-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    with pytest.raises(UserError, match="labels-idx1-ubyte' has labels that are not digits"):
        _examples(*paths, 1)
