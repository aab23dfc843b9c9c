"""Accuracies and confusion matrices from stored predictions. Training never imports this module."""

from typing import NamedTuple

import numpy as np

from da_bench.core.types import Array


class Accuracies(NamedTuple):
    """Accuracies in [0, 1] at e evaluations.

    Attributes:
        micro: share of correctly classified rows [e].
        per_class: the same within each class [e, c]; NaN for a class without rows.
        macro: mean of `per_class` over the classes that have rows [e].
    """

    micro: np.ndarray
    per_class: np.ndarray
    macro: np.ndarray


def accuracies(logits: Array, labels: Array) -> Accuracies:
    """Accuracies of logits.

    An evaluation with a logit that is not finite counts as random guessing, 1 / c everywhere; it is never dropped.

    Args:
        logits: logits before the softmax at every evaluation [e, n, c].
        labels: true labels [n], in 0..c-1.

    Returns:
        The accuracies at every evaluation.
    """
    logits = np.asarray(logits)
    return accuracies_of_classes(logits.argmax(axis=2), labels, logits.shape[2], finite_evaluations(logits))


def accuracies_of_classes(predicted: Array, labels: Array, num_classes: int, finite: np.ndarray) -> Accuracies:
    """Accuracies of predicted classes.

    Args:
        predicted: predicted classes at every evaluation [e, n], in 0..num_classes-1.
        labels: true labels [n], in 0..num_classes-1.
        num_classes: number of classes c.
        finite: whether all logits of an evaluation were finite [e]; if not, it counts as random guessing.

    Returns:
        The accuracies at every evaluation.
    """
    labels = np.asarray(labels)
    correct = np.where(finite[:, None], np.asarray(predicted) == labels, 1 / num_classes)
    members = labels[:, None] == np.arange(num_classes)
    counts = members.sum(axis=0)
    per_class = np.where(counts > 0, correct @ members / np.maximum(counts, 1), np.nan)
    return Accuracies(correct.mean(axis=1), per_class, np.nanmean(per_class, axis=1))


def finite_evaluations(logits: Array) -> np.ndarray:
    """Whether all logits of an evaluation are finite [e], for logits [e, n, c]."""
    return np.isfinite(np.asarray(logits)).all(axis=(1, 2))


def confusion_matrix(predicted: Array, labels: Array, num_classes: int) -> np.ndarray:
    """Confusion matrix of counts [c, c]: rows are true classes, columns predicted classes.

    Args:
        predicted: predicted classes [n], in 0..num_classes-1.
        labels: true labels [n], in 0..num_classes-1.
        num_classes: number of classes c.

    Returns:
        The counts.
    """
    pairs = np.asarray(labels) * num_classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
