"""LogME, H-score and TransRate against independent optimisers and hand calculations."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from da_bench.evaluation import transferability as t

MEASURES = {"logme": t.logme, "h_score": t.h_score, "reg": t.regularised_h_score, "transrate": t.transrate}


@pytest.fixture
def classes(rng):
    """Features [40, 3] around the centres of three classes, and their labels."""
    labels = np.arange(40) % 3
    return rng.normal(size=(3, 3))[labels] * 2 + rng.normal(size=(40, 3)), labels


def test_logme_is_the_largest_evidence(classes):
    """y ~ N(0, I / beta + F F^T / alpha), maximised by another optimiser over both precisions."""
    features, labels = classes

    def negative_evidence(log_precisions, y):
        alpha, beta = np.exp(log_precisions)
        covariance = np.eye(len(y)) / beta + features @ features.T / alpha
        return -multivariate_normal(np.zeros(len(y)), covariance).logpdf(y)

    best = [
        -minimize(negative_evidence, [0.0, 0.0], (labels == c).astype(float), method="Nelder-Mead").fun
        for c in range(3)
    ]
    assert t.logme(features, labels) == pytest.approx(np.mean(best) / 40, rel=1e-5)


def test_h_score_is_computed_from_class_means_in_the_whitened_space(classes):
    features, labels = classes
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(features.T, ddof=0)), (features - features.mean(axis=0)).T).T
    means = [np.mean(labels == c) * np.sum(whitened[labels == c].mean(axis=0) ** 2) for c in range(3)]
    assert t.h_score(features, labels) == pytest.approx(sum(means), rel=1e-9)


def test_h_score_in_one_dimension_is_the_explained_variance(classes):
    features, labels = classes
    x = features[:, 0]
    between = np.sum([np.sum(labels == c) * (x[labels == c].mean() - x.mean()) ** 2 for c in range(3)])
    assert t.h_score(x[:, None], labels) == pytest.approx(between / np.sum((x - x.mean()) ** 2), rel=1e-12)


@pytest.mark.parametrize("d", [5, 60])
def test_regularised_h_score_uses_the_covariance_of_ledoit_and_wolf(rng, d):
    labels = np.arange(40) % 3
    features = rng.normal(size=(3, d))[labels] + rng.normal(size=(40, d))
    shrunk, shrinkage = ledoit_wolf(features)
    means = np.stack([features[labels == c].mean(axis=0) for c in labels]) - features.mean(axis=0)
    expected = (1 - shrinkage) * np.trace(np.linalg.inv(shrunk) @ (means.T @ means) / 40)
    assert t.regularised_h_score(features, labels) == pytest.approx(expected, rel=1e-9)


def test_transrate_by_hand():
    """Rows -1 and 1 of two classes, epsilon 1: every coding rate is log(2) / 2, so the labels save nothing."""
    features, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    assert t.transrate(features, labels, epsilon=1.0) == pytest.approx(0.0, abs=1e-12)
    rows = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    total, within = np.log(1 + 2 / 4), np.log(1 + 2 / 2) / 2
    assert t.transrate(rows, np.array([0, 0, 1, 1]), epsilon=1.0) == pytest.approx(total - within, rel=1e-12)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_true_labels_score_higher_than_permuted_ones_and_their_names_do_not_matter(measure, classes, rng):
    features, labels = classes
    assert measure(features, labels) > measure(features, rng.permutation(labels))
    assert measure(features, (labels + 1) % 3) == pytest.approx(measure(features, labels), rel=1e-9)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_rotations_of_the_features_change_nothing(measure, classes, rng):
    features, labels = classes
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    assert measure(features @ rotation, labels) == pytest.approx(measure(features, labels), rel=1e-6)


@pytest.mark.parametrize("name", ["logme", "h_score", "transrate"])
def test_zero_features_change_nothing(name, classes):
    """There are more features than rows, and all but three are zero."""
    features, labels = classes
    padded = np.concatenate([features, np.zeros((40, 50))], axis=1)
    assert MEASURES[name](padded, labels) == pytest.approx(MEASURES[name](features, labels), rel=1e-6)


def test_h_score_is_invariant_to_affine_maps(classes, rng):
    features, labels = classes
    mapped = features @ rng.normal(size=(3, 3)) + 7
    assert t.h_score(mapped, labels) == pytest.approx(t.h_score(features, labels), rel=1e-7)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_infinite_features_give_nan(measure, classes):
    features, labels = classes
    features[0, 0] = np.inf
    assert np.isnan(measure(features, labels))
