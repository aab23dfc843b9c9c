"""What the classical methods share, and what all of them promise on data that is awkward."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from da_bench.classical import common
from da_bench.core.config import UserError
from da_bench.methods import METHODS, ClassicalMethod, load_plugins

load_plugins()
CLASSICAL = [
    "nearest_neighbour",
    "svm",
    "pca",
    "subspace_alignment",
    "gfk",
    "tca",
    "jda",
    "bda",
    "linear_ot",
    "emd_ot",
    "sinkhorn_ot",
    "kernel_mean_matching",
    "density_ratio",
]
ALIGNED = [name for name in CLASSICAL if issubclass(METHODS[name], common.Aligned)]


def test_leading_eigenvectors_by_lanczos_are_those_of_all(rng, monkeypatch):
    rows = rng.normal(size=(60, 40))
    matrix = rows.T @ rows
    direct = common.leading(matrix, 5)
    monkeypatch.setattr(common, "DENSE", 10)
    by_lanczos = common.leading(matrix, 5)
    np.testing.assert_allclose(by_lanczos[0], direct[0], rtol=1e-9)
    np.testing.assert_allclose(np.abs(by_lanczos[1].T @ direct[1]), np.eye(5), atol=1e-7)


def test_directions_without_variance_are_left_out(rng):
    values, vectors = common.leading(np.diag([3.0, 0.0, 1e-15, 2.0]), 4)
    np.testing.assert_allclose(values, [3.0, 2.0])
    np.testing.assert_allclose(np.abs(vectors), np.eye(4)[:, [0, 3]], atol=1e-12)
    assert common.leading(np.zeros((3, 3)), 2)[1].shape == (3, 0)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_principal_directions_are_the_right_singular_vectors(shape, rng):
    rows = rng.normal(size=shape) * np.linspace(1, 3, shape[1]) + 5
    found = common.principal(rows, 4)
    right = np.linalg.svd(rows - rows.mean(axis=0))[2][:4].T
    np.testing.assert_allclose(found @ found.T, right @ right.T, atol=1e-9)
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-9)


def test_into_the_span_keeps_every_inner_product(rng):
    source, target, new = rng.normal(size=(5, 30)), rng.normal(size=(4, 30)), rng.normal(size=(3, 30))
    turn = common.to_span(source, target)
    assert turn(new).shape == (3, 9)
    for row in (source, target):
        np.testing.assert_allclose(turn(new) @ turn(row).T, new @ row.T, atol=1e-12)


def test_one_neighbours_votes_are_finite_and_sum_to_one(rng):
    rows, labels, new = rng.normal(size=(30, 3)), np.arange(30) % 3, rng.normal(size=(10, 3))
    scores = common.nearest(rows, labels, 1)(new)
    np.testing.assert_array_equal(scores.argmax(axis=1), KNeighborsClassifier(1).fit(rows, labels).predict(new))
    # one vote of two, and a third of the other
    np.testing.assert_allclose(np.sort(np.exp(scores), axis=1), np.tile([1 / 6, 1 / 6, 2 / 3], (10, 1)))


def test_rows_are_divided_by_their_norm_and_zeros_stay():
    rows = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(common.normalised(rows, "l1"), [[3 / 7, -4 / 7], [0, 0]])
    np.testing.assert_allclose(common.normalised(rows, "l2"), [[0.6, -0.8], [0, 0]])


def test_each_domain_is_scaled_on_its_own(rng):
    """So a shift and a scaling of any column of the target changes no prediction."""
    source, labels, target = rng.normal(size=(40, 5)), np.arange(40) % 3, rng.normal(size=(30, 5)) + 0.3
    scale, shift = np.array([0.1, 5, 3, 1, 2]), np.array([9, 0, -4, 1, 2])
    for name in ("subspace_alignment", "gfk", "tca"):
        plain = METHODS[name]().fit(source, labels, target).predict_log_proba(target)
        moved = METHODS[name]().fit(source, labels, target * scale + shift).predict_log_proba(target * scale + shift)
        np.testing.assert_allclose(moved, plain, atol=1e-7)


def blobs(rng, n=24, m=20, d=3, classes=3):
    labels = np.arange(n) % classes
    centres = 3 * rng.normal(size=(classes, d))
    source = centres[labels] + rng.normal(size=(n, d))
    return source, labels, centres[np.arange(m) % classes] + rng.normal(size=(m, d)) + 0.5


def awkward(rng):
    """Named triples of source, labels and target, of which every method must make finite predictions."""
    source, labels, target = blobs(rng)
    constant, wide = np.ones((24, 1)), blobs(rng, 9, 8, 40)
    return {
        "wide": wide,
        "one column": blobs(rng, d=1),
        "constant columns": (np.hstack([constant, source]), labels, np.hstack([np.ones((20, 1)), target])),
        "constant in the target alone": (source, labels, target * [1.0, 1.0, 0.0]),
        "duplicates": (np.repeat(source[:6], 4, axis=0), np.repeat(labels[:6], 4), np.repeat(target[:5], 4, axis=0)),
        "same rows": (source, labels, source),
        "class missing": (source[labels != 1], labels[labels != 1], target),
        "two classes": blobs(rng, classes=2),
        "small source": blobs(rng, n=4, m=100),
        "small target": blobs(rng, n=100, m=3),
        "huge": (1e6 * source, labels, 1e6 * target),
        "tiny": (1e-6 * source, labels, 1e-6 * target),
    }


@pytest.mark.parametrize("kind", awkward(np.random.default_rng(0)))
@pytest.mark.parametrize("name", CLASSICAL)
def test_predictions_are_finite_log_probabilities(name, kind, rng):
    source, labels, target = awkward(rng)[kind]
    kept = [np.array(x) for x in (source, labels, target)]
    fitted = METHODS[name]().fit(source, labels, target)
    new = np.concatenate([target, target[:1] + 1.0])
    found = fitted.predict_log_proba(new)
    assert found.shape == (len(new), labels.max() + 1)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=1e-9)
    assert np.isin(found.argmax(axis=1), labels).all()
    np.testing.assert_array_equal(METHODS[name]().fit(*kept).predict_log_proba(new), found)
    for given, before in zip((source, labels, target), kept, strict=True):
        np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in ("subspace_alignment", "gfk")])
def test_a_target_of_one_row_is_predicted(name, rng):
    source, labels, target = blobs(rng)
    assert np.isfinite(METHODS[name]().fit(source, labels, target[:1]).predict_log_proba(target)).all()


@pytest.mark.parametrize("name", ["subspace_alignment", "gfk"])
def test_a_target_of_one_row_has_no_subspace(name, rng):
    source, labels, target = blobs(rng)
    with pytest.raises(UserError, match=f"{name}: one domain's training rows are all the same"):
        METHODS[name]().fit(source, labels, target[:1])


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("broken", ["source", "target"])
def test_what_is_not_finite_is_refused_by_name(name, broken, rng):
    source, labels, target = blobs(rng)
    {"source": source, "target": target}[broken][3, 1] = np.nan
    with pytest.raises(UserError, match=f"{name}: the {broken}'s inputs hold NaN"):
        METHODS[name]().fit(source, labels, target)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_source_of_one_class_is_refused_by_name(name, rng):
    source, labels, target = blobs(rng)
    with pytest.raises(UserError, match=f"{name}: the source's training rows are of one class"):
        METHODS[name]().fit(source, 0 * labels, target)


@pytest.mark.parametrize("name", ALIGNED)
def test_the_logistic_classifier_is_another(name, rng):
    source, labels, target = blobs(rng, 60, 60, 5)
    nearest, logistic = (
        METHODS[name](classifier=kind).fit(source, labels, target).predict_log_proba(target)
        for kind in ("1nn", "logistic")
    )
    assert len(np.unique(nearest.round(9))) <= 3  # of one neighbour: a vote, or none
    assert len(np.unique(logistic.round(9))) > 60


@pytest.mark.parametrize("name", ALIGNED)
def test_rows_of_counts_may_differ_in_length(name, rng):
    """Of normalised rows, only the shares matter: documents of any number of words."""
    source, labels, target = (np.abs(x) for x in blobs(rng, 40, 40, 6))
    method = METHODS[name](normalise="l1")
    plain = method.fit(source, labels, target).predict_log_proba(target)
    longer = method.fit(source * rng.integers(1, 9, (40, 1)), labels, target).predict_log_proba(3 * target)
    np.testing.assert_allclose(longer, plain, atol=1e-6)


def test_every_shallow_method_of_the_package_is_tested_here():
    known = {name for name, cls in METHODS.items() if issubclass(cls, ClassicalMethod)}
    assert known - {"logistic_regression", "shallow_coral"} == set(CLASSICAL)
