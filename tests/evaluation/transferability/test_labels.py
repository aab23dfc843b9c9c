"""What suits labels: LEEP, NCE, N-LEEP, LogME, H-score, TransRate."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from da_bench.evaluation import transferability as t


@pytest.fixture
def classes(rng):
    """Features [40, 3] about the centres of three classes, and their labels."""
    labels = np.arange(40) % 3
    return rng.normal(size=(3, 3))[labels] * 2 + rng.normal(size=(40, 3)), labels


OF_FEATURES = {"logme": t.logme, "h_score": t.h_score, "reg": t.regularised_h_score, "transrate": t.transrate}


def test_leep_by_hand():
    """Two source classes: P(y=0|z) = (.9 + .6) / 2 = .75 and (.1 + .4) / 1 = .5; P(y=1|z) = .25 and .5."""
    p, labels = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]), np.array([0, 0, 1])
    found = [0.75 * 0.9 + 0.5 * 0.1, 0.75 * 0.6 + 0.5 * 0.4, 0.25 * 0.5 + 0.5 * 0.5]
    assert t.leep(p, labels) == pytest.approx(np.mean(np.log(found)), rel=1e-12)


def test_nce_is_the_conditional_entropy(rng):
    predicted, labels = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    joint = np.zeros((4, 3))
    np.add.at(joint, (predicted, labels), 1 / 60)
    conditional = joint / joint.sum(axis=1, keepdims=True)
    assert t.nce(predicted, labels) == pytest.approx(np.nansum(joint * np.log(np.maximum(conditional, 1e-300))))


def test_leep_of_sure_predictions_is_nce_and_soft_ones_are_below_zero(rng):
    predicted, labels = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    assert t.leep(np.eye(4)[predicted], labels) == pytest.approx(t.nce(predicted, labels), rel=1e-12)
    assert t.nce(labels, labels) == 0.0


def test_n_leep_knows_clusters_from_noise(classes, rng):
    features, labels = classes
    assert t.n_leep(10 * np.eye(3)[labels] + 0.1 * features, labels, gaussians=3) == pytest.approx(0.0, abs=1e-6)
    shuffled = t.n_leep(10 * np.eye(3)[labels] + 0.1 * features, rng.permutation(labels), gaussians=3)
    assert shuffled < -0.8


def test_logme_is_the_largest_evidence(classes):
    """y ~ N(0, I / beta + F F^T / alpha), maximised by another optimiser over both precisions."""
    features, labels = classes

    def lost(logs, y):
        alpha, beta = np.exp(logs)
        covariance = np.eye(len(y)) / beta + features @ features.T / alpha
        return -multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)

    best = [-minimize(lost, [0.0, 0.0], (labels == c).astype(float), method="Nelder-Mead").fun for c in range(3)]
    assert t.logme(features, labels) == pytest.approx(np.mean(best) / 40, rel=1e-5)


def test_h_score_from_class_means_in_the_whitened_space(classes):
    features, labels = classes
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(features.T, ddof=0)), (features - features.mean(axis=0)).T).T
    means = [np.mean(labels == c) * np.sum(whitened[labels == c].mean(axis=0) ** 2) for c in range(3)]
    assert t.h_score(features, labels) == pytest.approx(sum(means), rel=1e-9)


def test_h_score_is_the_explained_share_of_one_dimension(classes):
    features, labels = classes
    x = features[:, 0]
    between = np.sum([np.sum(labels == c) * (x[labels == c].mean() - x.mean()) ** 2 for c in range(3)])
    assert t.h_score(x[:, None], labels) == pytest.approx(between / np.sum((x - x.mean()) ** 2), rel=1e-12)


@pytest.mark.parametrize("d", [5, 60])
def test_the_regularised_h_score_is_that_of_the_shrunk_covariance(rng, d):
    labels = np.arange(40) % 3
    features = rng.normal(size=(3, d))[labels] + rng.normal(size=(40, d))
    shrunk, share = ledoit_wolf(features)
    means = np.stack([features[labels == c].mean(axis=0) for c in labels]) - features.mean(axis=0)
    expected = (1 - share) * np.trace(np.linalg.inv(shrunk) @ (means.T @ means) / 40)
    assert t.regularised_h_score(features, labels) == pytest.approx(expected, rel=1e-9)


def test_transrate_by_hand():
    """One dimension, rows -1 and 1 of two classes, epsilon 1: log 2 / 2 of each, so that nothing is saved; twice."""
    features, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    assert t.transrate(features, labels, epsilon=1.0) == pytest.approx(0.0, abs=1e-12)
    rows = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    whole, of_class = np.log(1 + 2 / 4), np.log(1 + 2 / 2) / 2
    assert t.transrate(rows, np.array([0, 0, 1, 1]), epsilon=1.0) == pytest.approx(whole - of_class, rel=1e-12)


@pytest.mark.parametrize("measure", OF_FEATURES.values(), ids=OF_FEATURES.keys())
def test_labels_that_suit_the_features_score_higher_and_their_names_do_not_matter(measure, classes, rng):
    features, labels = classes
    assert measure(features, labels) > measure(features, rng.permutation(labels))
    assert measure(features, (labels + 1) % 3) == pytest.approx(measure(features, labels), rel=1e-9)


@pytest.mark.parametrize("measure", OF_FEATURES.values(), ids=OF_FEATURES.keys())
def test_a_turn_of_the_space_changes_nothing(measure, classes, rng):
    features, labels = classes
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert measure(features @ turn, labels) == pytest.approx(measure(features, labels), rel=1e-6)


@pytest.mark.parametrize("name", ["logme", "h_score", "transrate"])
def test_dimensions_without_content_change_nothing(name, classes):
    """More dimensions than rows, of which all but three are zero."""
    features, labels = classes
    padded = np.concatenate([features, np.zeros((40, 50))], axis=1)
    assert OF_FEATURES[name](padded, labels) == pytest.approx(OF_FEATURES[name](features, labels), rel=1e-6)


def test_h_score_under_any_affine_map(classes, rng):
    features, labels = classes
    mapped = features @ rng.normal(size=(3, 3)) + 7
    assert t.h_score(mapped, labels) == pytest.approx(t.h_score(features, labels), rel=1e-7)


@pytest.mark.parametrize("measure", [*OF_FEATURES.values(), t.n_leep])
def test_features_that_are_not_finite_are_not_judged(measure, classes):
    features, labels = classes
    features[0, 0] = np.inf
    assert np.isnan(measure(features, labels))
