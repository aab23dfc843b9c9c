"""Discrepancies of two classifiers, compared with sums in plain Python."""

import jax
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from da_bench.losses.disagreement import classifier_discrepancy, random_directions, sliced_wasserstein_discrepancy


def probabilities(rng, rows=6, classes=3):
    return [rng.dirichlet(np.ones(classes), size=rows) for _ in range(2)]


def test_classifier_discrepancy_is_a_mean_over_rows_and_classes(rng, x64):
    p, q = probabilities(rng)
    expected = sum(abs(p[i, k] - q[i, k]) / 3 for i in range(6) for k in range(3)) / 6
    assert classifier_discrepancy(p, q) == pytest.approx(expected, rel=1e-12)


def test_one_direction_gives_the_squared_wasserstein_distance(rng, x64):
    """The cheapest of all 720 assignments of points on a line is the sorted one."""
    from itertools import permutations

    p, q = probabilities(rng)
    direction = np.asarray(random_directions(jax.random.key(0), 3, 1))
    x, y = (p @ direction)[:, 0], (q @ direction)[:, 0]
    best = min(np.mean((x - y[list(order)]) ** 2) for order in permutations(range(6)))
    assert sliced_wasserstein_discrepancy(p, q, direction) == pytest.approx(best, rel=1e-10)
    assert np.sqrt(best) >= wasserstein_distance(x, y) - 1e-12  # W_2 >= W_1


def test_directions_are_averaged_and_have_length_one(rng, x64):
    p, q = probabilities(rng)
    directions = np.asarray(random_directions(jax.random.key(0), 3, 5))
    np.testing.assert_allclose(np.sum(directions**2, axis=0), 1, rtol=1e-12)
    one_by_one = [sliced_wasserstein_discrepancy(p, q, directions[:, i : i + 1]) for i in range(5)]
    assert sliced_wasserstein_discrepancy(p, q, directions) == pytest.approx(np.mean(one_by_one), rel=1e-12)


def test_sliced_wasserstein_ignores_the_order_of_rows(rng, x64):
    p, _ = probabilities(rng)
    directions = random_directions(jax.random.key(0), 3, 4)
    assert sliced_wasserstein_discrepancy(p, p[::-1], directions) == pytest.approx(0, abs=1e-15)
    assert classifier_discrepancy(p, p[::-1]) > 0.01
