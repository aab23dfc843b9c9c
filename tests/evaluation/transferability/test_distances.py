"""MMD, CORAL and sliced Wasserstein against hand calculations and SciPy."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from da_bench.evaluation.transferability import coral, mmd, sliced_wasserstein, squared_distances


def test_mmd_is_near_zero_for_one_distribution_and_known_for_distant_points(rng):
    assert abs(mmd(rng.normal(size=(300, 3)), rng.normal(size=(300, 3)))) < 0.01
    points = np.array([[0.0], [1e-3], [2e-3]])
    # most pairs are across domains, so the median is their distance: kernel exp(-1/2) across, 1 within
    assert mmd(points, points + 1000) == pytest.approx(2 - 2 * np.exp(-0.5), rel=1e-3)
    assert np.isnan(mmd(np.ones((3, 2)), np.ones((4, 2))))


def test_squared_distances_far_from_the_origin(rng):
    rows = rng.normal(size=(30, 3)) + 1e4
    np.testing.assert_allclose(squared_distances(rows), cdist(rows, rows, "sqeuclidean"), rtol=1e-7, atol=1e-9)


def test_coral_by_hand():
    """Variances 1 and 4, no covariance: (1 - 4)^2 twice, over 4 * 2^2."""
    square = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)
    assert coral(square, 2 * square + 5) == pytest.approx(2 * 9 / 16, rel=1e-12)
    assert coral(square[:, :1], 2 * square[:, :1]) == pytest.approx(9 / 4, rel=1e-12)


def test_sliced_wasserstein_of_a_shift_is_the_root_mean_square_of_its_projections(rng):
    """A shift s moves every quantile along a unit vector u by u.s, whose mean square is |s|^2 / d."""
    rows, shift = rng.normal(size=(40, 3)), np.array([3.0, 0, 4])
    assert sliced_wasserstein(rows, rows + shift, directions=4000) == pytest.approx(5 / np.sqrt(3), rel=0.03)
    assert sliced_wasserstein(rows, rows[::-1]) == 0.0


def test_sliced_wasserstein_in_one_dimension_is_at_least_that_of_scipy(rng):
    source, target = (
        rng.normal(size=60),
        rng.normal(size=60) ** 2 + 3,
    )  # above the source, so W1 is the difference of the means
    distance = sliced_wasserstein(source[:, None], target[:, None], directions=1)
    assert distance == pytest.approx(np.sqrt(np.mean((np.sort(source) - np.sort(target)) ** 2)), rel=1e-12)
    assert distance >= wasserstein_distance(source, target)


def test_sliced_wasserstein_is_invariant_to_duplicated_rows(rng):
    source, target = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    doubled = sliced_wasserstein(np.repeat(source, 2, axis=0), target)
    assert doubled == pytest.approx(sliced_wasserstein(source, target), rel=1e-12)
