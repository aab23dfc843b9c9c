"""Classifiers that classical methods fit on the source. Each `fit_*` returns a function from rows to class scores."""

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import scipy.special

DecisionFunction = Callable[[np.ndarray], np.ndarray]  # rows [n, d] -> scores [n, c], logits before a softmax
FinalClassifier = Literal["1nn", "logistic"]

ABSENT_CLASS_SCORE = -50.0  # log-score of a class without source rows: negligible, but finite for entropies


def fit_classifier(kind: FinalClassifier, rows: np.ndarray, labels: np.ndarray) -> DecisionFunction:
    """Fit a nearest-neighbour ("1nn") or logistic regression ("logistic") classifier on rows [n, d], labels [n]."""
    return fit_nearest_neighbours(rows, labels, 1) if kind == "1nn" else fit_logistic_regression(rows, labels)


def fit_nearest_neighbours(rows: np.ndarray, labels: np.ndarray, k: int) -> DecisionFunction:
    """Fit a k-nearest-neighbour classifier with smoothed votes.

    One additional vote is spread over all classes. Without it, the probabilities of a single neighbour would be 0 and
    1, with infinite logarithms.

    Args:
        rows: training rows [n, d].
        labels: their labels [n].
        k: number of neighbours, at most n.

    Returns:
        Function from rows [., d] to log-probabilities [., c].
    """
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(n_neighbors=k).fit(rows, labels)

    def log_probabilities(new: np.ndarray) -> np.ndarray:
        p = classifier.predict_proba(new)
        return expand_classes(np.log((k * p + 1 / p.shape[1]) / (k + 1)), classifier.classes_)

    return log_probabilities


def fit_logistic_regression(
    rows: np.ndarray, labels: np.ndarray, c: float = 1.0, sample_weights: np.ndarray | None = None
) -> DecisionFunction:
    """Fit a multinomial logistic regression with an L2 penalty.

    Args:
        rows: training rows [n, d].
        labels: their labels [n].
        c: inverse strength of the penalty, positive.
        sample_weights: weights of the rows [n], non-negative; None: all 1.

    Returns:
        Function from rows [., d] to log-probabilities [., c].
    """
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=c, max_iter=1000).fit(rows, labels, sample_weight=sample_weights)

    def log_probabilities(new: np.ndarray) -> np.ndarray:
        logits = classifier.decision_function(new)
        logits = logits if logits.ndim == 2 else np.stack([0 * logits, logits], axis=1)
        return expand_classes(logits, classifier.classes_)

    return log_probabilities


def fit_linear_svm(rows: np.ndarray, labels: np.ndarray, c: float) -> DecisionFunction:
    """Fit a one-vs-rest linear SVM with squared hinge loss and a penalty on the bias, as LIBLINEAR does.

    Args:
        rows: training rows [n, d].
        labels: their labels [n].
        c: inverse strength of the L2 penalty, positive.

    Returns:
        Function from rows [., d] to the log-softmax of the margins [., c].
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    # Newton's method on the primal problem is faster only if there are many more rows than columns
    classifier = LinearSVC(C=c, dual=len(rows) < 10 * rows.shape[1], random_state=0)
    with warnings.catch_warnings():  # the last digits of the margins converge slowly if the classes are separable
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(rows, labels)
    return lambda new: _expand_margins(classifier.decision_function(new), classifier.classes_)


def fit_hinge_svm(rows: np.ndarray, labels: np.ndarray, c: float) -> DecisionFunction:
    """Fit a one-vs-rest linear SVM with hinge loss and an unpenalised bias, as LIBSVM does.

    It uses the inner products of all pairs of rows, so there may be many columns. Arguments and result are those of
    `fit_linear_svm`.
    """
    from sklearn.svm import SVC

    classes, gram, normals, biases = np.unique(labels), rows @ rows.T, [], []
    for label in classes[1:] if len(classes) == 2 else classes:
        classifier = SVC(C=c, kernel="precomputed").fit(gram, labels == label)
        normals.append(classifier.dual_coef_[0] @ rows[classifier.support_])
        biases.append(classifier.intercept_[0])
    return lambda new: _expand_margins(new @ np.stack(normals).T + np.stack(biases), classes)


def expand_classes(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Log-softmax of scores, with a column for every class.

    Args:
        scores: scores of the k classes that occur in the source [n, k].
        classes: these classes [k].

    Returns:
        Log-probabilities [n, c], where c is the largest class plus one; absent classes get `ABSENT_CLASS_SCORE`.
    """
    expanded = np.full((len(scores), int(classes.max()) + 1), ABSENT_CLASS_SCORE)
    expanded[:, classes.astype(int)] = scipy.special.log_softmax(scores, axis=1)
    return expanded


def _expand_margins(margins: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """`expand_classes` of margins: [n] or [n, 1] for the second of two classes, or [n, k]."""
    margins = margins.reshape(len(margins), -1)
    return expand_classes(np.hstack([-margins, margins]) if margins.shape[1] == 1 else margins, classes)
