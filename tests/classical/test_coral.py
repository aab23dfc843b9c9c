"""CORAL of input features against its definition, in float64."""

import numpy as np
from scipy.special import log_softmax
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from da_bench.classical import LogisticRegression, ShallowCoral
from da_bench.classical.coral import coral_matrix


def correlated(rng, rows, width=4):
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width))


def test_the_aligned_source_has_the_covariance_of_the_target(rng):
    """Without a ridge, A^T C_s A = C_t (Eqs. 2-4 of the paper)."""
    source, target = correlated(rng, 200), correlated(rng, 100)
    aligned = source @ coral_matrix(source, target, 0.0)
    np.testing.assert_allclose(np.cov(aligned, rowvar=False), np.cov(target, rowvar=False), rtol=1e-9, atol=1e-9)


def test_the_matrix_with_a_ridge_equals_the_papers_algorithm(rng):
    source, target = correlated(rng, 50), correlated(rng, 60)
    c_s, c_t = (np.cov(x, rowvar=False) + np.eye(4) for x in (source, target))
    # powers by singular values, as in the paper
    (u_s, s_s, _), (u_t, s_t, _) = np.linalg.svd(c_s), np.linalg.svd(c_t)
    expected = u_s @ np.diag(s_s**-0.5) @ u_s.T @ u_t @ np.diag(s_t**0.5) @ u_t.T
    np.testing.assert_allclose(coral_matrix(source, target, 1.0), expected, rtol=1e-9, atol=1e-9)


def test_coral_undoes_a_linear_shift_that_logistic_regression_cannot(rng):
    labels = np.arange(400) % 2
    source = rng.normal(size=(400, 2)) * [1.0, 4.0] + np.outer(labels, [3.0, 0.0])
    squeeze = np.diag([0.1, 5.0])
    target = (rng.normal(size=(400, 2)) * [1.0, 4.0] + np.outer(labels, [3.0, 0.0])) @ squeeze + [10.0, -3.0]
    accuracy = {}
    for method in (LogisticRegression(), ShallowCoral(ridge=1e-6)):
        fitted = method.fit(source, labels, target)
        accuracy[method.name] = (fitted.predict(target) == labels).mean()
    assert accuracy["shallow_coral"] > 0.85
    assert accuracy["logistic_regression"] < 0.6


def test_logistic_regression_ignores_the_target(rng):
    source, labels = rng.normal(size=(40, 3)), np.arange(40) % 2
    first, second = (LogisticRegression().fit(source, labels, rng.normal(size=(9, 3))) for _ in range(2))
    np.testing.assert_array_equal(first.predict_log_proba(source), second.predict_log_proba(source))


def test_new_target_rows_are_scaled_like_the_training_rows(rng):
    source, labels, target = rng.normal(size=(60, 3)), np.arange(60) % 3, 5 + 2 * rng.normal(size=(50, 3))
    fitted = ShallowCoral().fit(source, labels, target)
    scaled = StandardScaler().fit(target).transform(target[:1])
    expected = log_softmax(fitted.scores(scaled), axis=1)
    np.testing.assert_allclose(fitted.predict_log_proba(target[:1]), expected)


def test_the_papers_classifier_is_a_linear_svm_on_the_aligned_source(rng):
    source, labels, target = rng.normal(size=(60, 3)), np.arange(60) % 3, 5 + 2 * rng.normal(size=(50, 3))
    scaled_source, scaled_target = StandardScaler().fit_transform(source), StandardScaler().fit_transform(target)
    svm = LinearSVC(dual=False).fit(scaled_source @ coral_matrix(scaled_source, scaled_target, 1.0), labels)
    fitted = ShallowCoral(classifier="svm").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), svm.predict(scaled_target))
