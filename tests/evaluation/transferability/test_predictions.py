"""NCE, LEEP and N-LEEP against hand calculations and the conditional entropy."""

import numpy as np
import pytest

from da_bench.evaluation import transferability as t


@pytest.fixture
def classes(rng):
    """Features [40, 3] around the centres of three classes, and their labels."""
    labels = np.arange(40) % 3
    return rng.normal(size=(3, 3))[labels] * 2 + rng.normal(size=(40, 3)), labels


def test_leep_by_hand():
    """Two source classes: P(y=0|z) is (.9 + .6) / 2 = .75 and (.1 + .4) / 1 = .5; P(y=1|z) is .25 and .5."""
    p, labels = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]), np.array([0, 0, 1])
    expected = [0.75 * 0.9 + 0.5 * 0.1, 0.75 * 0.6 + 0.5 * 0.4, 0.25 * 0.5 + 0.5 * 0.5]
    assert t.leep(p, labels) == pytest.approx(np.mean(np.log(expected)), rel=1e-12)


def test_nce_is_the_conditional_entropy(rng):
    predicted, labels = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    joint = np.zeros((4, 3))
    np.add.at(joint, (predicted, labels), 1 / 60)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    assert t.nce(predicted, labels) == pytest.approx(np.nansum(joint * np.log(np.maximum(conditional, 1e-300))))


def test_leep_of_one_hot_predictions_is_nce(rng):
    predicted, labels = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    assert t.leep(np.eye(4)[predicted], labels) == pytest.approx(t.nce(predicted, labels), rel=1e-12)
    assert t.nce(labels, labels) == 0.0


def test_n_leep_is_high_for_clusters_and_low_for_permuted_labels(classes, rng):
    features, labels = classes
    assert t.n_leep(10 * np.eye(3)[labels] + 0.1 * features, labels, gaussians=3) == pytest.approx(0.0, abs=1e-6)
    shuffled = t.n_leep(10 * np.eye(3)[labels] + 0.1 * features, rng.permutation(labels), gaussians=3)
    assert shuffled < -0.8


def test_n_leep_is_nan_if_a_feature_is_infinite(classes):
    features, labels = classes
    features[0, 0] = np.inf
    assert np.isnan(t.n_leep(features, labels))
