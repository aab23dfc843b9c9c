"""Nearest neighbours and the linear SVM by hand."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.svm import LinearSVC

from da_bench.classical import svm
from da_bench.classical.knn import NearestNeighbour
from da_bench.classical.shallow import ShallowCoral
from da_bench.classical.svm import Svm
from da_bench.core.config import UserError, as_dict


def data(rng, classes=3):
    labels = np.arange(60) % classes
    return rng.normal(size=(60, 4)) * [1, 10, 0.1, 1] + np.outer(labels, [2, 0, 0, 1]), labels


def test_the_nearest_row_in_units_of_the_sources_spread(rng):
    source, labels = data(rng)
    new = rng.normal(size=(9, 4)) * [1, 10, 0.1, 1]
    apart = (((new[:, None] - source) / source.std(axis=0)) ** 2).sum(axis=2)
    found = NearestNeighbour().fit(source, labels, new).predict(new)
    np.testing.assert_array_equal(found, labels[apart.argmin(axis=1)])


def test_log_probabilities_are_shares_of_votes(rng):
    source, labels = data(rng)
    new = rng.normal(size=(9, 4)) * [1, 10, 0.1, 1]
    apart = (((new[:, None] - source) / source.std(axis=0)) ** 2).sum(axis=2)
    votes = np.eye(3)[labels[np.argsort(apart, axis=1)[:, :5]]].sum(axis=1)
    found = NearestNeighbour(k=5).fit(source, labels, new).predict_log_proba(new)
    np.testing.assert_allclose(np.exp(found), (votes + 1 / 3) / 6)


def test_more_neighbours_than_rows_are_refused(rng):
    source, labels = data(rng)
    with pytest.raises(UserError, match=r"NearestNeighbour\.k = 61 is more than the source's 60 training rows"):
        NearestNeighbour(k=61).fit(source, labels, source)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_machine_ranks_by_margin_and_its_scores_are_their_softmax(classes, rng):
    source, labels = data(rng, classes)
    scaled = (source - source.mean(axis=0)) / source.std(axis=0)
    machine = LinearSVC(dual=False).fit(scaled, labels)
    margins = machine.decision_function(scaled)
    margins = np.stack([-margins, margins], axis=1) if classes == 2 else margins
    fitted = Svm().fit(source, labels, source)
    expected = np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(source)), expected, atol=1e-9)
    np.testing.assert_array_equal(fitted.predict(source), machine.predict(scaled))


@pytest.mark.parametrize("method", [NearestNeighbour(), Svm(), Svm(loss="hinge")])
def test_the_target_is_not_used(method, rng):
    source, labels = data(rng)
    first, second = (method.fit(source, labels, rng.normal(size=(9, 4))).predict_log_proba(source) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def z_scored(rows):
    shares = rows / np.abs(rows).sum(axis=1, keepdims=True)
    return (shares - shares.mean(axis=0)) / shares.std(axis=0)


def test_each_domain_scaled_on_its_own_as_tables_of_classical_methods_have_it(rng):
    source, labels = data(rng)
    target = 3 + 5 * rng.normal(size=(30, 4))
    apart = ((z_scored(target)[:, None] - z_scored(source)) ** 2).sum(axis=2)
    fitted = NearestNeighbour(normalise="l1", scaling="each").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), labels[apart.argmin(axis=1)])
    machine = LinearSVC(dual=False).fit(z_scored(source), labels)
    fitted = Svm(normalise="l1", scaling="each").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), machine.predict(z_scored(target)))


def test_counts_as_they_are(rng):
    source, labels = data(rng)
    fitted = Svm(scaling="none", c=0.1).fit(source, labels, source)
    np.testing.assert_array_equal(
        fitted.predict(source), LinearSVC(C=0.1, dual=False).fit(source, labels).predict(source)
    )


def solved(rows, signs, c):
    """min |w|^2 / 2 + c sum xi, such that y (w x + b) >= 1 - xi and xi >= 0, by a general solver: [n] margins."""
    n, d = rows.shape
    slack = {
        "type": "ineq",
        "fun": lambda z: signs * (rows @ z[:d] + z[d]) - 1 + z[d + 1 :],
        "jac": lambda _: np.hstack([signs[:, None] * rows, signs[:, None], np.eye(n)]),
    }
    found = scipy.optimize.minimize(
        lambda z: z[:d] @ z[:d] / 2 + c * z[d + 1 :].sum(),
        np.r_[np.zeros(d + 1), np.ones(n)],
        jac=lambda z: np.r_[z[:d], 0, np.full(n, c)],
        bounds=[(None, None)] * (d + 1) + [(0, None)] * n,
        constraints=[slack],
        method="SLSQP",
    )
    assert found.success
    return rows @ found.x[:d] + found.x[d]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_hinge_loss_with_a_free_bias_is_its_quadratic_program(classes, rng):
    source, labels = data(rng, classes)
    source = source / [1, 10, 0.1, 1] + 5  # far from the origin, where a penalty on the bias would tell
    margins = [solved(source, np.where(labels == one, 1.0, -1.0), 0.1) for one in range(classes)]
    expected = scipy.special.log_softmax(np.stack(margins, axis=1), axis=1)
    fitted = Svm(scaling="none", loss="hinge", c=0.1).fit(source, labels, source)
    np.testing.assert_allclose(fitted.predict_log_proba(source), expected, atol=5e-3)  # LIBSVM stops at 1e-3


def test_more_rows_than_can_be_compared_in_pairs_are_refused(rng, monkeypatch):
    monkeypatch.setattr(svm, "MOST_ROWS", 59)
    source, labels = data(rng)
    with pytest.raises(UserError, match=r'Svm\.loss = "hinge" .* of the 60 training rows .* at most 59'):
        Svm(loss="hinge").fit(source, labels, source)


def test_what_was_added_later_leaves_the_ids_of_runs_alone():
    assert as_dict(Svm()) == {"name": "svm", "c": 1.0}
    assert as_dict(NearestNeighbour(scaling="each")) == {"name": "nearest_neighbour", "k": 1, "scaling": "each"}
    assert as_dict(ShallowCoral()) == {"name": "shallow_coral", "ridge": 1.0, "c": 1.0}
