"""Nearest neighbours and the linear SVM against direct calculations and scikit-learn."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from da_bench.classical import NearestNeighbour, ShallowCoral, Svm, svm
from da_bench.classical._classifiers import fit_nearest_neighbours
from da_bench.core.config import UserError, as_dict


def labelled_rows(rng, classes=3):
    labels = np.arange(60) % classes
    return rng.normal(size=(60, 4)) * [1, 10, 0.1, 1] + np.outer(labels, [2, 0, 0, 1]), labels


def test_nearest_neighbour_standardises_by_the_source(rng):
    source, labels = labelled_rows(rng)
    new = rng.normal(size=(9, 4)) * [1, 10, 0.1, 1]
    distances = (((new[:, None] - source) / source.std(axis=0)) ** 2).sum(axis=2)
    predicted = NearestNeighbour().fit(source, labels, new).predict(new)
    np.testing.assert_array_equal(predicted, labels[distances.argmin(axis=1)])


def test_log_probabilities_are_smoothed_shares_of_votes(rng):
    source, labels = labelled_rows(rng)
    new = rng.normal(size=(9, 4)) * [1, 10, 0.1, 1]
    distances = (((new[:, None] - source) / source.std(axis=0)) ** 2).sum(axis=2)
    votes = np.eye(3)[labels[np.argsort(distances, axis=1)[:, :5]]].sum(axis=1)
    log_p = NearestNeighbour(k=5).fit(source, labels, new).predict_log_proba(new)
    np.testing.assert_allclose(np.exp(log_p), (votes + 1 / 3) / 6)


def test_more_neighbours_than_rows_are_refused(rng):
    source, labels = labelled_rows(rng)
    with pytest.raises(UserError, match=r"NearestNeighbour\.k = 61 .* 60 "):
        NearestNeighbour(k=61).fit(source, labels, source)


@pytest.mark.parametrize("classes", [2, 3])
def test_svm_probabilities_are_the_softmax_of_the_margins(classes, rng):
    source, labels = labelled_rows(rng, classes)
    scaled = (source - source.mean(axis=0)) / source.std(axis=0)
    classifier = LinearSVC(dual=False).fit(scaled, labels)
    margins = classifier.decision_function(scaled)
    margins = np.stack([-margins, margins], axis=1) if classes == 2 else margins
    fitted = Svm().fit(source, labels, source)
    expected = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(source)), expected, atol=1e-9)
    np.testing.assert_array_equal(fitted.predict(source), classifier.predict(scaled))


def test_votes_of_one_neighbour_are_finite(rng):
    rows, labels, new = rng.normal(size=(30, 3)), np.arange(30) % 3, rng.normal(size=(10, 3))
    log_p = fit_nearest_neighbours(rows, labels, 1)(new)
    np.testing.assert_array_equal(log_p.argmax(axis=1), KNeighborsClassifier(1).fit(rows, labels).predict(new))
    # the neighbour's vote and a third of the additional one, of two votes
    np.testing.assert_allclose(np.sort(np.exp(log_p), axis=1), np.tile([1 / 6, 1 / 6, 2 / 3], (10, 1)))


@pytest.mark.parametrize("method", [NearestNeighbour(), Svm(), Svm(loss="hinge")])
def test_the_target_is_not_used(method, rng):
    source, labels = labelled_rows(rng)
    first, second = (method.fit(source, labels, rng.normal(size=(9, 4))).predict_log_proba(source) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def normalised_and_standardised(rows):
    shares = rows / np.abs(rows).sum(axis=1, keepdims=True)
    return (shares - shares.mean(axis=0)) / shares.std(axis=0)


def test_scaling_each_domain_separately(rng):
    source, labels = labelled_rows(rng)
    target = 3 + 5 * rng.normal(size=(30, 4))
    distances = ((normalised_and_standardised(target)[:, None] - normalised_and_standardised(source)) ** 2).sum(axis=2)
    fitted = NearestNeighbour(normalise="l1", scaling="each").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), labels[distances.argmin(axis=1)])
    classifier = LinearSVC(dual=False).fit(normalised_and_standardised(source), labels)
    fitted = Svm(normalise="l1", scaling="each").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), classifier.predict(normalised_and_standardised(target)))


def test_svm_without_scaling(rng):
    source, labels = labelled_rows(rng)
    fitted = Svm(scaling="none", c=0.1).fit(source, labels, source)
    np.testing.assert_array_equal(
        fitted.predict(source), LinearSVC(C=0.1, dual=False).fit(source, labels).predict(source)
    )


def margins_by_a_general_solver(rows, signs, c):
    """Margins [n] that minimise |w|^2 / 2 + c sum xi subject to y (w x + b) >= 1 - xi and xi >= 0."""
    n, d = rows.shape
    slack = {
        "type": "ineq",
        "fun": lambda z: signs * (rows @ z[:d] + z[d]) - 1 + z[d + 1 :],
        "jac": lambda _: np.hstack([signs[:, None] * rows, signs[:, None], np.eye(n)]),
    }
    solution = scipy.optimize.minimize(
        lambda z: z[:d] @ z[:d] / 2 + c * z[d + 1 :].sum(),
        np.r_[np.zeros(d + 1), np.ones(n)],
        jac=lambda z: np.r_[z[:d], 0, np.full(n, c)],
        bounds=[(None, None)] * (d + 1) + [(0, None)] * n,
        constraints=[slack],
        method="SLSQP",
    )
    assert solution.success
    return rows @ solution.x[:d] + solution.x[d]


@pytest.mark.parametrize("classes", [2, 3])
def test_hinge_svm_solves_its_quadratic_program(classes, rng):
    source, labels = labelled_rows(rng, classes)
    source = source / [1, 10, 0.1, 1] + 5  # far from the origin, where a penalty on the bias would matter
    margins = [margins_by_a_general_solver(source, np.where(labels == c, 1.0, -1.0), 0.1) for c in range(classes)]
    expected = scipy.special.log_softmax(np.stack(margins, axis=1), axis=1)
    fitted = Svm(scaling="none", loss="hinge", c=0.1).fit(source, labels, source)
    np.testing.assert_allclose(fitted.predict_log_proba(source), expected, atol=5e-3)  # LIBSVM stops at 1e-3


def test_too_many_rows_for_the_hinge_loss_are_refused(rng, monkeypatch):
    monkeypatch.setattr(svm, "MAX_HINGE_ROWS", 59)
    source, labels = labelled_rows(rng)
    with pytest.raises(UserError, match=r'Svm\.loss = "hinge" .* 59.* 60'):
        Svm(loss="hinge").fit(source, labels, source)


def test_fields_added_later_keep_the_ids_of_earlier_runs():
    assert as_dict(Svm()) == {"name": "svm", "c": 1.0}
    assert as_dict(NearestNeighbour(scaling="each")) == {"name": "nearest_neighbour", "k": 1, "scaling": "each"}
    assert as_dict(ShallowCoral()) == {"name": "shallow_coral", "ridge": 1.0, "c": 1.0}
