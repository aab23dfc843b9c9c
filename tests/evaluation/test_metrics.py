"""Accuracies and confusion matrices against scikit-learn and hand calculations."""

import numpy as np
import pytest
from sklearn import metrics

from da_bench.evaluation.metrics import accuracies, confusion_matrix, finite_evaluations


def random_predictions(rng, rows=50, classes=4, evaluations=3):
    return rng.normal(size=(evaluations, rows, classes)), rng.integers(0, classes, rows)


def test_accuracies_equal_those_of_scikit_learn(rng):
    logits, labels = random_predictions(rng)
    result = accuracies(logits, labels)
    for e in range(3):
        predicted = logits[e].argmax(axis=1)
        assert result.micro[e] == pytest.approx(metrics.accuracy_score(labels, predicted))
        assert result.macro[e] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
        assert result.per_class[e] == pytest.approx(metrics.recall_score(labels, predicted, average=None))


def test_accuracies_by_hand():
    """Class 0 has three rows, two of them correct; class 1 has one wrong row; class 2 has none."""
    logits = np.eye(3)[[0, 0, 1, 2]][None]
    result = accuracies(logits, [0, 0, 0, 1])
    assert result.micro[0] == 0.5
    np.testing.assert_allclose(result.per_class[0], [2 / 3, 0.0, np.nan])
    assert result.macro[0] == pytest.approx(1 / 3)  # over the two classes that have rows


def test_an_evaluation_with_a_logit_that_is_not_finite_counts_as_guessing(rng):
    logits, labels = random_predictions(rng)
    logits[1, 7, 2] = np.nan
    result = accuracies(logits, labels)
    assert result.micro[1] == pytest.approx(1 / 4)
    assert result.macro[1] == pytest.approx(1 / 4)
    assert finite_evaluations(logits).tolist() == [True, False, True]
    assert result.micro[0] == accuracies(logits[:1], labels).micro[0]


def test_confusion_matrix_equals_that_of_scikit_learn(rng):
    logits, labels = random_predictions(rng)
    predicted = logits[0].argmax(axis=1)
    np.testing.assert_array_equal(confusion_matrix(predicted, labels, 4), metrics.confusion_matrix(labels, predicted))
