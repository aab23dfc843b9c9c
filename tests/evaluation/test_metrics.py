import numpy as np
import pytest
from sklearn import metrics

from da_bench.evaluation.metrics import confusion, finite, scores


def some(rng, rows=50, classes=4, evaluations=3):
    return rng.normal(size=(evaluations, rows, classes)), rng.integers(0, classes, rows)


def test_equals_scikit_learn(rng):
    logits, labels = some(rng)
    found = scores(logits, labels)
    for e in range(3):
        predicted = logits[e].argmax(axis=1)
        assert found.micro[e] == pytest.approx(metrics.accuracy_score(labels, predicted))
        assert found.macro[e] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
        assert found.per_class[e] == pytest.approx(metrics.recall_score(labels, predicted, average=None))


def test_by_hand():
    """Three rows of class 0 of which two are right, one of class 1 that is wrong, none of class 2."""
    logits = np.eye(3)[[0, 0, 1, 2]][None]
    found = scores(logits, [0, 0, 0, 1])
    assert found.micro[0] == 0.5
    np.testing.assert_allclose(found.per_class[0], [2 / 3, 0.0, np.nan])
    assert found.macro[0] == pytest.approx(1 / 3)  # of the two classes that have rows


def test_an_evaluation_that_is_not_finite_counts_as_guessing(rng):
    logits, labels = some(rng)
    logits[1, 7, 2] = np.nan
    found = scores(logits, labels)
    assert found.micro[1] == pytest.approx(1 / 4)
    assert found.macro[1] == pytest.approx(1 / 4)
    assert finite(logits).tolist() == [True, False, True]
    assert found.micro[0] == scores(logits[:1], labels).micro[0]


def test_confusion_equals_scikit_learn(rng):
    logits, labels = some(rng)
    predicted = logits[0].argmax(axis=1)
    np.testing.assert_array_equal(confusion(predicted, labels, 4), metrics.confusion_matrix(labels, predicted))
