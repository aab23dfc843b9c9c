import hashlib

import numpy as np
import pytest

from da_bench.data.families.digits import read


@pytest.fixture(scope="module")
def printed():
    return read(None, "synthetic")


def sha256(parts):
    return hashlib.sha256(b"".join(one.inputs.tobytes() + one.labels.tobytes() for one in parts.values())).hexdigest()


def test_printed_digits_are_balanced_counts_of_sixteen_pixels(printed):
    for examples, count in zip(printed.values(), (4000, 500, 1000), strict=True):
        assert examples.inputs.shape == (count, 8, 8, 1)
        assert (examples.inputs.dtype, examples.labels.dtype) == (np.float32, np.int32)
        assert np.bincount(examples.labels).tolist() == [count // 10] * 10
        assert set(np.unique(examples.inputs * 16)) <= set(range(17))
        assert examples.inputs.max(axis=(1, 2, 3)).min() > 0.4  # ink in every image


def test_printed_digits_are_the_same_bytes_everywhere(printed):
    # Made by this code, x86-64; numpy 2.1.3 with matplotlib 3.10.0 and numpy 2.4.6 with matplotlib 3.11.2 agree. If it
    # changes, every number of a task on this domain is void.
    assert sha256(printed) == "63d583f0bf44cb98f75564865a007e398ad7f444a96cfdde49ad9acf574fb89d"
    assert sha256(read(None, "synthetic")) == sha256(printed)


@pytest.mark.parametrize("domain", ["synthetic", "real"])
def test_no_image_is_there_twice(domain):
    images = np.concatenate([one.inputs.reshape(-1, 64) for one in read(None, domain).values()])
    assert len(np.unique(images, axis=0)) == len(images)


def test_real_digits_are_all_of_optdigits_test_part():
    from sklearn.datasets import load_digits

    whole = read(None, "real")["all"]
    assert whole.inputs.shape == (1797, 8, 8, 1)
    images, labels = load_digits(return_X_y=True)
    np.testing.assert_array_equal(whole.inputs.reshape(-1, 64) * 16, images)
    np.testing.assert_array_equal(whole.labels, labels)
    # optdigits.names: 178 182 177 183 181 182 181 179 174 180 of the digits 0..9 in the test part.
    assert np.bincount(whole.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
