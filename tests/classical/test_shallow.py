"""CORAL against its definition, in float64."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from da_bench.classical.common import log_softmax
from da_bench.classical.shallow import LogisticRegression, ShallowCoral, recolouring, symmetric_power


def correlated(rng, rows, width=4):
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width))


def test_recoloured_source_has_the_targets_covariance(rng):
    """Without a ridge, A^T C_s A = C_t to machine precision: Eq. 2-4 of the paper."""
    source, target = correlated(rng, 200), correlated(rng, 100)
    aligned = source @ recolouring(source, target, 0.0)
    np.testing.assert_allclose(np.cov(aligned, rowvar=False), np.cov(target, rowvar=False), rtol=1e-9, atol=1e-9)


def test_with_a_ridge_it_is_the_papers_algorithm(rng):
    source, target = correlated(rng, 50), correlated(rng, 60)
    c_s, c_t = (np.cov(x, rowvar=False) + np.eye(4) for x in (source, target))
    # by singular values, as the paper computes its powers
    (u_s, s_s, _), (u_t, s_t, _) = np.linalg.svd(c_s), np.linalg.svd(c_t)
    expected = u_s @ np.diag(s_s**-0.5) @ u_s.T @ u_t @ np.diag(s_t**0.5) @ u_t.T
    np.testing.assert_allclose(recolouring(source, target, 1.0), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("power", [-0.5, 0.5, 2.0])
def test_powers_compose(power, rng):
    matrix = np.cov(correlated(rng, 30), rowvar=False) + np.eye(4)
    back = symmetric_power(symmetric_power(matrix, power), 1 / power)
    np.testing.assert_allclose(back, matrix, rtol=1e-9)


def test_it_undoes_a_linear_shift_that_logistic_regression_cannot(rng):
    labels = np.arange(400) % 2
    source = rng.normal(size=(400, 2)) * [1.0, 4.0] + np.outer(labels, [3.0, 0.0])
    squeeze = np.diag([0.1, 5.0])
    target = (rng.normal(size=(400, 2)) * [1.0, 4.0] + np.outer(labels, [3.0, 0.0])) @ squeeze + [10.0, -3.0]
    found = {}
    for method in (LogisticRegression(), ShallowCoral(ridge=1e-6)):
        fitted = method.fit(source, labels, target)
        found[method.name] = (fitted.predict(target) == labels).mean()
    assert found["shallow_coral"] > 0.85
    assert found["logistic_regression"] < 0.6


def test_logistic_regression_ignores_the_target(rng):
    source, labels = rng.normal(size=(40, 3)), np.arange(40) % 2
    first, second = (LogisticRegression().fit(source, labels, rng.normal(size=(9, 3))) for _ in range(2))
    np.testing.assert_array_equal(first.predict_log_proba(source), second.predict_log_proba(source))


def test_new_target_rows_are_scaled_as_the_training_rows_were(rng):
    source, labels, target = rng.normal(size=(60, 3)), np.arange(60) % 3, 5 + 2 * rng.normal(size=(50, 3))
    fitted = ShallowCoral().fit(source, labels, target)
    scaled = StandardScaler().fit(target).transform(target[:1])
    direct = log_softmax(fitted.scores(scaled))
    np.testing.assert_allclose(fitted.predict_log_proba(target[:1]), direct)


def test_the_papers_classifier_is_a_linear_machine_on_the_recoloured_source(rng):
    source, labels, target = rng.normal(size=(60, 3)), np.arange(60) % 3, 5 + 2 * rng.normal(size=(50, 3))
    of_source, of_target = StandardScaler().fit_transform(source), StandardScaler().fit_transform(target)
    machine = LinearSVC(dual=False).fit(of_source @ recolouring(of_source, of_target, 1.0), labels)
    fitted = ShallowCoral(classifier="svm").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), machine.predict(of_target))
