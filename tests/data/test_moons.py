import zlib

import numpy as np
import pytest
from sklearn.datasets import make_moons

from da_bench.data.moons import declare, moons


def drawn(name, count):
    return make_moons(count, noise=0.05, random_state=zlib.crc32(name.encode()))


def test_sizes_and_balance():
    for angle in (0, 35):
        for domain, count in zip(moons(angle), (300, 200, 1000), strict=True):
            assert domain.inputs.shape == (count, 2)
            assert (domain.inputs.dtype, domain.labels.dtype) == (np.float32, np.int32)
            assert np.bincount(domain.labels).tolist() == [count // 2, count // 2]


@pytest.mark.parametrize("angle", [0, 35, -20])
def test_equals_the_formula_in_the_complex_plane(angle):
    # x e^(i angle): the rotation by another route.
    for split, domain in moons(angle)._asdict().items():
        points, labels = drawn(f"moons/{angle}/{split}", len(domain.labels))
        turned = points @ [1, 1j] * np.exp(1j * np.deg2rad(angle))
        np.testing.assert_allclose(domain.inputs @ [1, 1j], turned, atol=1e-6)
        np.testing.assert_array_equal(domain.labels, labels)


def test_turned_back_it_lies_on_the_moons_of_the_source():
    # Half circles of radius 1: the upper one around (0, 0), the lower one around (1, 1/2); the noise is 0.05.
    target = moons(35).test
    points = target.inputs @ [1, 1j] * np.exp(-1j * np.deg2rad(35))
    from_centre = points - np.where(target.labels == 0, 0, 1 + 0.5j)
    assert np.abs(np.abs(from_centre) - 1).max() < 5 * 0.05
    side = np.where(target.labels == 0, 1, -1)
    assert (from_centre.imag * side).min() > -5 * 0.05


def test_every_split_and_angle_is_a_fresh_draw():
    points = np.concatenate([domain.inputs for angle in (0, 35) for domain in moons(angle)])
    assert len(np.unique(points, axis=0)) == len(points)


def test_another_angle_is_one_declaration():
    spec = declare(60)
    assert spec.name == "moons/60"
    assert spec.counts == tuple(len(domain.labels) for domain in spec.load(None))
