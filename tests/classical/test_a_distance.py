"""The proxy A-distance against theory and another linear classifier."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from da_bench.classical.a_distance import proxy_a_distance


def test_separable_domains_have_distance_two(rng):
    assert proxy_a_distance(rng.normal(size=(80, 3)), rng.normal(size=(90, 3)) + 20) == 2.0


def test_samples_of_one_distribution_have_distance_near_zero(rng):
    assert proxy_a_distance(rng.normal(size=(500, 3)), rng.normal(size=(500, 3))) < 0.35


def test_distance_grows_with_the_shift(rng):
    source = rng.normal(size=(300, 3))
    distances = [proxy_a_distance(source, rng.normal(size=(300, 3)) + shift) for shift in (0.0, 0.5, 1.0, 3.0)]
    assert distances == sorted(distances)


def test_agrees_with_the_error_of_a_logistic_regression(rng):
    """In one dimension every good linear classifier is a threshold, so the errors must be close."""
    source, target = rng.normal(size=(500, 1)), rng.normal(size=(500, 1)) + 1.5
    train = np.concatenate([source[:250], target[:250]])
    test = np.concatenate([source[250:], target[250:]])
    domain = np.repeat([0, 1], 250)
    error = np.mean(LogisticRegression().fit(train, domain).predict(test) != domain)
    assert proxy_a_distance(source, target) == pytest.approx(2 * (1 - 2 * error), abs=0.15)


def test_agrees_with_the_bayes_error(rng):
    """N(0, 1) and N(2, 1): the best threshold has error Phi(-1) = 0.1587, and 2 (1 - 2 * 0.1587) = 1.365."""
    source, target = rng.normal(size=(8000, 1)), rng.normal(size=(8000, 1)) + 2
    assert proxy_a_distance(source, target, max_rows=8000) == pytest.approx(1.365, abs=0.06)


def test_is_invariant_to_scale_and_offset_of_each_feature(rng):
    source, target = rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) + 0.7
    scale, shift = np.array([1e-3, 1.0, 1e3]), np.array([5.0, -2.0, 1e4])
    moved = proxy_a_distance(source * scale + shift, target * scale + shift)
    assert moved == pytest.approx(proxy_a_distance(source, target), abs=1e-9)


def test_is_deterministic_and_leaves_its_inputs_unchanged(rng):
    source, target = rng.normal(size=(100, 3)), rng.normal(size=(60, 3))
    copies = source.copy(), target.copy()
    assert proxy_a_distance(source, target) == proxy_a_distance(source, target)
    np.testing.assert_array_equal(source, copies[0])
    np.testing.assert_array_equal(target, copies[1])


def test_ignores_constant_features_and_is_nan_for_infinite_ones(rng):
    source = rng.normal(size=(40, 2))
    constant = np.concatenate([source, np.ones((40, 1))], axis=1)
    assert proxy_a_distance(constant, constant + np.array([9, 9, 0])) == 2.0
    source[3, 1] = np.nan
    assert np.isnan(proxy_a_distance(source, constant[:, :2]))
