"""The contract of all classical methods: finite predictions on degenerate data, and clear errors."""

import numpy as np
import pytest

from da_bench.classical import AlignmentMethod
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
ALIGNMENT_METHODS = [name for name in CLASSICAL if issubclass(METHODS[name], AlignmentMethod)]


def test_scaling_each_domain_removes_shift_and_scale(rng):
    """A shift and a scaling of any column of the target change no prediction."""
    source, labels, target = rng.normal(size=(40, 5)), np.arange(40) % 3, rng.normal(size=(30, 5)) + 0.3
    scale, shift = np.array([0.1, 5, 3, 1, 2]), np.array([9, 0, -4, 1, 2])
    for name in ("subspace_alignment", "gfk", "tca"):
        expected = METHODS[name]().fit(source, labels, target).predict_log_proba(target)
        moved = METHODS[name]().fit(source, labels, target * scale + shift).predict_log_proba(target * scale + shift)
        np.testing.assert_allclose(moved, expected, atol=1e-7)


def blobs(rng, n=24, m=20, d=3, classes=3):
    labels = np.arange(n) % classes
    centres = 3 * rng.normal(size=(classes, d))
    source = centres[labels] + rng.normal(size=(n, d))
    return source, labels, centres[np.arange(m) % classes] + rng.normal(size=(m, d)) + 0.5


def degenerate_data(rng):
    """(source, labels, target) by name; every method must make finite predictions on them."""
    source, labels, target = blobs(rng)
    constant, wide = np.ones((24, 1)), blobs(rng, 9, 8, 40)
    return {
        "wide": wide,
        "one column": blobs(rng, d=1),
        "constant columns": (np.hstack([constant, source]), labels, np.hstack([np.ones((20, 1)), target])),
        "constant in the target only": (source, labels, target * [1.0, 1.0, 0.0]),
        "duplicates": (np.repeat(source[:6], 4, axis=0), np.repeat(labels[:6], 4), np.repeat(target[:5], 4, axis=0)),
        "identical domains": (source, labels, source),
        "class missing": (source[labels != 1], labels[labels != 1], target),
        "two classes": blobs(rng, classes=2),
        "small source": blobs(rng, n=4, m=100),
        "small target": blobs(rng, n=100, m=3),
        "huge": (1e6 * source, labels, 1e6 * target),
        "tiny": (1e-6 * source, labels, 1e-6 * target),
    }


@pytest.mark.parametrize("kind", degenerate_data(np.random.default_rng(0)))
@pytest.mark.parametrize("name", CLASSICAL)
def test_predictions_are_finite_log_probabilities(name, kind, rng):
    source, labels, target = degenerate_data(rng)[kind]
    copies = [np.array(x) for x in (source, labels, target)]
    fitted = METHODS[name]().fit(source, labels, target)
    new = np.concatenate([target, target[:1] + 1.0])
    log_p = fitted.predict_log_proba(new)
    assert log_p.shape == (len(new), labels.max() + 1)
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1.0, atol=1e-9)
    assert np.isin(log_p.argmax(axis=1), labels).all()
    np.testing.assert_array_equal(METHODS[name]().fit(*copies).predict_log_proba(new), log_p)
    for argument, copy in zip((source, labels, target), copies, strict=True):
        np.testing.assert_array_equal(argument, copy)


@pytest.mark.parametrize("name", [name for name in CLASSICAL if name not in ("subspace_alignment", "gfk")])
def test_a_target_with_one_row_is_accepted(name, rng):
    source, labels, target = blobs(rng)
    assert np.isfinite(METHODS[name]().fit(source, labels, target[:1]).predict_log_proba(target)).all()


@pytest.mark.parametrize("name", ["subspace_alignment", "gfk"])
def test_a_target_with_one_row_has_no_subspace(name, rng):
    source, labels, target = blobs(rng)
    with pytest.raises(UserError, match=rf"{name}: .* no subspace"):
        METHODS[name]().fit(source, labels, target[:1])


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("domain", ["source", "target"])
def test_inputs_that_are_not_finite_are_refused(name, domain, rng):
    source, labels, target = blobs(rng)
    {"source": source, "target": target}[domain][3, 1] = np.nan
    with pytest.raises(UserError, match=rf"{name}: .*{domain}.*NaN"):
        METHODS[name]().fit(source, labels, target)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_source_with_one_class_is_refused(name, rng):
    source, labels, target = blobs(rng)
    with pytest.raises(UserError, match=rf"{name}: .*source.* one class"):
        METHODS[name]().fit(source, 0 * labels, target)


@pytest.mark.parametrize("name", ALIGNMENT_METHODS)
def test_the_final_classifier_can_be_chosen(name, rng):
    source, labels, target = blobs(rng, 60, 60, 5)
    nearest, logistic = (
        METHODS[name](classifier=kind).fit(source, labels, target).predict_log_proba(target)
        for kind in ("1nn", "logistic")
    )
    assert len(np.unique(nearest.round(9))) <= 3  # a single neighbour gives two values, whatever the row
    assert len(np.unique(logistic.round(9))) > 60


@pytest.mark.parametrize("name", ALIGNMENT_METHODS)
def test_normalised_counts_are_invariant_to_document_length(name, rng):
    source, labels, target = (np.abs(x) for x in blobs(rng, 40, 40, 6))
    method = METHODS[name](normalise="l1")
    expected = method.fit(source, labels, target).predict_log_proba(target)
    longer = method.fit(source * rng.integers(1, 9, (40, 1)), labels, target).predict_log_proba(3 * target)
    np.testing.assert_allclose(longer, expected, atol=1e-6)


def test_every_classical_method_is_tested():
    registered = {name for name, cls in METHODS.items() if issubclass(cls, ClassicalMethod)}
    assert registered - {"logistic_regression", "shallow_coral"} == set(CLASSICAL)
