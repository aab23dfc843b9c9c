"""Reverse validation: do the target's pseudo-labels lead back to the source's labels?"""

import numpy as np

from da_bench.evaluation.validators.base import Evidence, each, register

RIDGE = 1.0  # penalty of the head's squared weights, on features of unit variance


@register("reverse validation", "reversed")
def reverse_validation(evidence: Evidence) -> np.ndarray:
    """Source-validation accuracy, in [0, 1], of the reverse learner of the checkpoint that source validation chooses.

    A learner of the same method and setting is trained from the target, with the checkpoint's predictions as labels, to
    the source without labels: see `da_bench.studies.reverse_validation`. One checkpoint of a run has a score, so this
    chooses between settings, and within a run stops early as source validation does.

    References: Zhong, Fan, Yang, Verscheure and Ren, Cross Validation Framework to Choose amongst Models and Datasets
    for Transfer Learning, ECML PKDD 2010; Ganin et al., JMLR 2016, Section 5.1.2.
    """
    labels = np.asarray(evidence.validation_labels)
    return each(lambda classes: float(np.mean(classes == labels)), np.asarray(evidence.reversed, np.float64))


@register("reverse (features)", "features")
def reverse_features(evidence: Evidence) -> np.ndarray:
    """Source-validation accuracy, in [0, 1], of a linear head fitted to the target's features and pseudo-labels.

    Circular validation trains the whole method again, from the pseudo-labelled target to the source: as
    `reverse_validation` does. Here the checkpoint's features stay as they are, and only the head is fitted anew, by
    ridge regression to one-hot pseudo-labels.

    References: Bruzzone and Marconcini, Domain Adaptation Problems: A DASVM Classification Technique and a Circular
    Validation Strategy, IEEE TPAMI 2010, Section 4; Ganin et al., JMLR 2016, Section 5.1.2.
    """
    labels = np.asarray(evidence.validation_labels)

    def accuracy(target: np.ndarray, logits: np.ndarray, source: np.ndarray) -> float:
        predicted = refitted(target, np.eye(logits.shape[1])[logits.argmax(axis=1)], source).argmax(axis=1)
        return float(np.mean(predicted == labels[: len(source)]))

    return each(accuracy, evidence.seen.target, evidence.watched_logits, evidence.seen.validation)


def refitted(rows: np.ndarray, wanted: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Ridge regression from rows [u, d] to wanted [u, c], its intercept not penalised, at the rows asked [v, d]."""
    rows = np.asarray(rows, np.float64)
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    rows, asked = (rows - centre) / scale, (asked - centre) / scale
    mean = wanted.mean(axis=0)
    if len(rows) < rows.shape[1]:  # the same head, by the smaller system
        weights = rows.T @ np.linalg.solve(rows @ rows.T + RIDGE * np.eye(len(rows)), wanted - mean)
    else:
        weights = np.linalg.solve(rows.T @ rows + RIDGE * np.eye(rows.shape[1]), rows.T @ (wanted - mean))
    predicted: np.ndarray = mean + asked @ weights
    return predicted
