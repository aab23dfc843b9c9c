"""Accuracies of stored predictions. Training never imports this room."""

from typing import NamedTuple

import numpy as np

from da_bench.core.types import Array


class Scores(NamedTuple):
    """Accuracies in [0, 1] at `e` evaluations.

    micro [e]: share of right rows; per_class [e, c]: the same within each class, NaN for a class without rows;
    macro [e]: mean of the classes that have rows.
    """

    micro: np.ndarray
    per_class: np.ndarray
    macro: np.ndarray


def scores(logits: Array, labels: Array) -> Scores:
    """Scores of logits [e, n, c] against labels [n].

    An evaluation with a logit that is not finite counts as guessing: 1 / c everywhere. It is never dropped.
    """
    logits = np.asarray(logits)
    return scores_of_classes(logits.argmax(axis=2), labels, logits.shape[2], finite(logits))


def scores_of_classes(predicted: Array, labels: Array, classes: int, healthy: np.ndarray) -> Scores:
    """Scores of predicted classes [e, n] in 0..classes-1 against labels [n]; one that is not healthy [e] is a guess."""
    labels = np.asarray(labels)
    right = np.where(healthy[:, None], np.asarray(predicted) == labels, 1 / classes)
    members = labels[:, None] == np.arange(classes)
    counts = members.sum(axis=0)
    per_class = np.where(counts > 0, right @ members / np.maximum(counts, 1), np.nan)
    return Scores(right.mean(axis=1), per_class, np.nanmean(per_class, axis=1))


def finite(logits: Array) -> np.ndarray:
    """[e] whether every logit of an evaluation, [e, n, c], is finite."""
    return np.isfinite(np.asarray(logits)).all(axis=(1, 2))


def confusion(predicted: Array, labels: Array, classes: int) -> np.ndarray:
    """[c, c] counts: row = true class, column = predicted class; predicted and labels [n] in 0..c-1."""
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
