import hashlib

import numpy as np
import pytest

from da_bench.data.families.digits import read


@pytest.fixture(scope="module")
def synthetic():
    return read(None, "synthetic")


def sha256(parts):
    return hashlib.sha256(
        b"".join(part.inputs.tobytes() + part.labels.tobytes() for part in parts.values())
    ).hexdigest()


def test_synthetic_digits_are_balanced_with_17_grey_levels(synthetic):
    for examples, count in zip(synthetic.values(), (4000, 500, 1000), strict=True):
        assert examples.inputs.shape == (count, 8, 8, 1)
        assert (examples.inputs.dtype, examples.labels.dtype) == (np.float32, np.int32)
        assert np.bincount(examples.labels).tolist() == [count // 10] * 10
        assert set(np.unique(examples.inputs * 16)) <= set(range(17))
        assert examples.inputs.max(axis=(1, 2, 3)).min() > 0.4  # ink in every image


def test_synthetic_digits_are_reproducible_bit_for_bit(synthetic):
    # Made by this code, x86-64; numpy 2.1.3 with matplotlib 3.10.0 and numpy 2.4.6 with matplotlib 3.11.2 agree. If it
    # changes, every number of a task on this domain is void.
    assert sha256(synthetic) == "63d583f0bf44cb98f75564865a007e398ad7f444a96cfdde49ad9acf574fb89d"
    assert sha256(read(None, "synthetic")) == sha256(synthetic)


@pytest.mark.parametrize("domain", ["synthetic", "real"])
def test_images_are_unique(domain):
    images = np.concatenate([part.inputs.reshape(-1, 64) for part in read(None, domain).values()])
    assert len(np.unique(images, axis=0)) == len(images)


def test_real_digits_are_the_optdigits_test_part():
    from sklearn.datasets import load_digits

    examples = read(None, "real")["all"]
    assert examples.inputs.shape == (1797, 8, 8, 1)
    images, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(examples.inputs.reshape(-1, 64) * 16, images)
    np.testing.assert_array_equal(examples.labels, labels)
    # optdigits.names: 178 182 177 183 181 182 181 179 174 180 of the digits 0..9 in the test part.
    assert np.bincount(examples.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
