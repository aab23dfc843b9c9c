import zlib

import numpy as np
import pytest
from sklearn.datasets import make_moons

from da_bench.data.families.moons import read


def draw_moons(name, count):
    return make_moons(count, noise=0.05, random_state=zlib.crc32(name.encode()))


def test_parts_have_the_declared_sizes_and_balanced_classes():
    for angle in ("0", "35"):
        for part, count in {"train": 300, "validation": 200, "test": 1000}.items():
            points, labels, classes = read(None, angle)[part]
            assert points.shape == (count, 2)
            assert (points.dtype, labels.dtype) == (np.float32, np.int32)
            assert np.bincount(labels).tolist() == [count // 2, count // 2]
            assert classes == ("lower", "upper")


@pytest.mark.parametrize("angle", ["0", "35", "-20"])
def test_rotation_matches_complex_multiplication(angle):
    # The same rotation as a product of complex numbers, x e^(i angle).
    for part, examples in read(None, angle).items():
        points, lower = draw_moons(f"moons/{angle}/{part}", len(examples.labels))
        rotated = points @ [1, 1j] * np.exp(1j * np.deg2rad(float(angle)))
        np.testing.assert_allclose(examples.inputs @ [1, 1j], rotated, atol=1e-6)
        np.testing.assert_array_equal(examples.labels, 1 - lower)


def test_inverse_rotation_restores_the_source_moons():
    # Half circles of radius 1: the upper one around (0, 0), the lower one around (1, 1/2); the noise is 0.05.
    target = read(None, "35")["test"]
    points = target.inputs @ [1, 1j] * np.exp(-1j * np.deg2rad(35))
    upper = target.labels == 1
    from_centre = points - np.where(upper, 0, 1 + 0.5j)
    assert np.abs(np.abs(from_centre) - 1).max() < 5 * 0.05
    assert (from_centre.imag * np.where(upper, 1, -1)).min() > -5 * 0.05


def test_parts_and_angles_share_no_points():
    points = np.concatenate([part.inputs for angle in ("0", "35") for part in read(None, angle).values()])
    assert len(np.unique(points, axis=0)) == len(points)


@pytest.mark.parametrize("angle", [0, 35])
def test_centred_moons_are_half_circles_of_radius_two(angle):
    # The centres (0, 0) and (1, 1/2) less the moons' mean (1/2, 1/4), doubled: (-1, -1/2) and (1, 1/2).
    domain = read(None, f"centred-{angle}")["test"]
    points = domain.inputs @ [1, 1j] * np.exp(-1j * np.deg2rad(angle))
    assert abs(points.mean()) < 0.02
    from_centre = points - np.where(domain.labels == 1, -1 - 0.5j, 1 + 0.5j)
    assert np.abs(np.abs(from_centre) - 2).max() < 5 * 0.1
