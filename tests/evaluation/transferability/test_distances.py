import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from sklearn.linear_model import LogisticRegression

from da_bench.evaluation.transferability import (
    coral,
    mmd,
    neural_a_distance,
    proxy_a_distance,
    sliced_wasserstein,
    squared_distances,
)


def test_domains_that_never_meet_are_two_apart(rng):
    assert proxy_a_distance(rng.normal(size=(80, 3)), rng.normal(size=(90, 3)) + 20) == 2.0


def test_one_distribution_is_near_zero(rng):
    assert proxy_a_distance(rng.normal(size=(500, 3)), rng.normal(size=(500, 3))) < 0.35


def test_it_grows_with_the_shift(rng):
    source = rng.normal(size=(300, 3))
    found = [proxy_a_distance(source, rng.normal(size=(300, 3)) + shift) for shift in (0.0, 0.5, 1.0, 3.0)]
    assert found == sorted(found)


def test_it_follows_the_error_of_another_linear_classifier(rng):
    """In one dimension every good linear rule is a threshold: a logistic regression's error must be near."""
    source, target = rng.normal(size=(500, 1)), rng.normal(size=(500, 1)) + 1.5
    train = np.concatenate([source[:250], target[:250]])
    test = np.concatenate([source[250:], target[250:]])
    domain = np.repeat([0, 1], 250)
    error = np.mean(LogisticRegression().fit(train, domain).predict(test) != domain)
    assert proxy_a_distance(source, target) == pytest.approx(2 * (1 - 2 * error), abs=0.15)


def test_bayes_error_by_theory(rng):
    """N(0,1) against N(2,1): the best threshold errs with Phi(-1) = 0.1587, so 2 (1 - 2 * 0.1587) = 1.365."""
    source, target = rng.normal(size=(8000, 1)), rng.normal(size=(8000, 1)) + 2
    assert proxy_a_distance(source, target, limit=8000) == pytest.approx(1.365, abs=0.06)


def test_units_and_origins_do_not_matter(rng):
    source, target = rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 0.7
    scale, shift = np.array([1e-3, 1.0, 1e3]), np.array([5.0, -2.0, 1e4])
    moved = proxy_a_distance(source * scale + shift, target * scale + shift)
    assert moved == pytest.approx(proxy_a_distance(source, target), abs=1e-9)


def test_same_call_same_number_and_inputs_untouched(rng):
    source, target = rng.normal(size=(100, 3)), rng.normal(size=(60, 3))
    copies = source.copy(), target.copy()
    assert proxy_a_distance(source, target) == proxy_a_distance(source, target)
    np.testing.assert_array_equal(source, copies[0])
    np.testing.assert_array_equal(target, copies[1])


def test_features_that_are_constant_or_not_finite(rng):
    source = rng.normal(size=(40, 2))
    constant = np.concatenate([source, np.ones((40, 1))], axis=1)
    assert proxy_a_distance(constant, constant + np.array([9, 9, 0])) == 2.0
    source[3, 1] = np.nan
    assert np.isnan(proxy_a_distance(source, constant[:, :2]))


def test_mmd_is_near_zero_of_one_distribution_and_nears_two(rng):
    assert abs(mmd(rng.normal(size=(300, 3)), rng.normal(size=(300, 3)))) < 0.01
    points = np.array([[0.0], [1e-3], [2e-3]])
    # half of all pairs are across: the median is their distance D, across exp(-1/2), within 1
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


def test_sliced_wasserstein_of_a_shift_is_the_mean_of_its_projections(rng):
    """Along a unit direction u a shift s moves every quantile by u.s, whose mean square is |s|^2 / d."""
    rows, shift = rng.normal(size=(40, 3)), np.array([3.0, 0, 4])
    assert sliced_wasserstein(rows, rows + shift, directions=4000) == pytest.approx(5 / np.sqrt(3), rel=0.03)
    assert sliced_wasserstein(rows, rows[::-1]) == 0.0


def test_sliced_wasserstein_of_one_dimension_is_that_of_scipy(rng):
    source, target = rng.normal(size=60), rng.normal(size=60) ** 2 + 3  # above, so W1 is the difference of means
    found = sliced_wasserstein(source[:, None], target[:, None], directions=1)
    assert found == pytest.approx(np.sqrt(np.mean((np.sort(source) - np.sort(target)) ** 2)), rel=1e-12)
    assert found >= wasserstein_distance(source, target)


def test_sliced_wasserstein_counts_no_row_twice_that_stands_twice(rng):
    source, target = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    doubled = sliced_wasserstein(np.repeat(source, 2, axis=0), target)
    assert doubled == pytest.approx(sliced_wasserstein(source, target), rel=1e-12)


def test_a_network_sees_what_no_line_separates(rng):
    """One domain within the other: no line is better than chance by much, a network is."""
    angle = rng.uniform(0, 2 * np.pi, 400)
    source, target = rng.normal(size=(400, 2)) * 0.2, np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert neural_a_distance(source, target) > 1.8
    assert proxy_a_distance(source, target) < 0.8
