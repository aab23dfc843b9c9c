import os
from pathlib import Path

import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.data.families.usps import _examples, read, read_pooled


def root():
    """Return the data root; skip the test if it does not hold the family."""
    data_root = os.environ.get("DA_BENCH_DATA")
    if not data_root or not Path(data_root, "usps").is_dir():
        pytest.skip("needs the real usps files: set DA_BENCH_DATA to a folder that has usps/")
    return Path(data_root)


def test_real_usps_has_the_published_counts():
    train, test = read(root() / "usps").values()
    assert [part.inputs.shape for part in (train, test)] == [(7291, 28, 28, 1), (2007, 28, 28, 1)]
    assert train.inputs.dtype == np.uint8
    assert (train.inputs.min(), train.inputs.max()) == (0, 255)
    # Hastie, Tibshirani and Friedman's zip.info
    assert np.bincount(train.labels).tolist() == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert np.bincount(test.labels).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def test_pooled_split_keeps_every_row_and_mixes_the_published_parts():
    data_folder = root() / "usps"
    (train, test), published = read_pooled(data_folder).values(), list(read(data_folder).values())
    assert (len(train.labels), len(test.labels)) == (7438, 1860)  # CoGAN's usps_28x28.pkl
    rows = [_rows(*parts) for parts in (published, (train, test), published[:1], (test,))]
    assert sorted(rows[0]) == sorted(rows[1])
    hard = 1 - len(set(rows[3]) & set(rows[2])) / len(rows[3])
    assert hard == pytest.approx(2007 / 9298, abs=0.03)
    np.testing.assert_array_equal(test.inputs, read_pooled(data_folder)["test"].inputs)


def _rows(*parts):
    return [(image.tobytes(), label) for part in parts for image, label in zip(part.inputs, part.labels, strict=True)]


@pytest.mark.parametrize(
    ("line", "fault"), [("7 1:1.5", r"outside of \[-1, 1\]"), ("11 1:1", "not digits"), ("1.5 1:1", "not digits")]
)
def test_invalid_values_and_labels_are_refused(tmp_path, line, fault):
    path = tmp_path / "usps"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=rf"usps'.*{fault}"):
        _examples(path, 1)
    with pytest.raises(UserError, match=r"usps' holds 1.*7291"):
        _examples(path, 7291)


def test_values_and_labels_are_converted(tmp_path):
    path = tmp_path / "usps"
    path.write_text("10 " + " ".join(f"{i}:{-1 if i <= 128 else 1}" for i in range(1, 257)) + "\n")
    examples = _examples(path, 1)
    assert examples.labels.tolist() == [9]
    assert (examples.inputs[0, 0, 0, 0], examples.inputs[0, 27, 0, 0]) == (0, 255)
