"""Probabilities that one classifier is better than another."""

import itertools

import numpy as np
import pytest

from da_bench.reporting.stats.bayesian import probability_better, probability_better_on_most


def test_probability_better_by_hand_and_by_sampling():
    # P(Beta(2, 1) > 1/2) = 1 - (1/2)^2, P(Beta(3, 1) > 1/2) = 1 - (1/2)^3
    assert probability_better(1, 0) == pytest.approx(0.75)
    assert probability_better(2, 0) == pytest.approx(0.875)
    assert probability_better(7, 7) == pytest.approx(0.5)
    assert probability_better(30, 20) + probability_better(20, 30) == pytest.approx(1.0)
    shares = np.random.default_rng(0).dirichlet([31, 21, 951], 200_000)
    assert probability_better(30, 20) == pytest.approx(np.mean(shares[:, 0] > shares[:, 1]), abs=0.004)


@pytest.mark.parametrize(
    "probabilities", [[0.3], [0.2, 0.9], [0.1, 0.5, 0.8], [0.5] * 4, [0.9, 0.6, 0.4, 0.3, 0.8, 0.55]]
)
def test_better_on_most_equals_the_sum_over_every_outcome(probabilities):
    expected = 0.0
    for outcome in itertools.product((0, 1), repeat=len(probabilities)):
        chance = np.prod([p if won else 1 - p for p, won in zip(probabilities, outcome, strict=True)])
        wins, half = sum(outcome), len(probabilities) / 2
        expected += chance * (1.0 if wins > half else 0.5 * (wins == half))
    assert probability_better_on_most(probabilities) == pytest.approx(expected)
