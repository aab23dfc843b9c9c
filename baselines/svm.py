"""A linear support vector machine without adaptation."""

import warnings
from typing import ClassVar

import numpy as np

from baselines.common import Fitted, Map, Normalise, Scaling, all_classes, checked, scalers
from da_bench.methods import Shallow, register
from da_bench.methods.base import Classifier
from da_bench.settings import Positive
from da_bench.types import Array


@register
class Svm(Shallow):
    """A linear SVM on the source, one class against the rest.

    c: inverse strength of the L2 penalty (scikit-learn's C), with the squared hinge loss. A margin is no probability;
    validators that want one read the softmax of the margins, which ranks the classes as the machine does, and is not
    calibrated. normalise: "l1" or "l2" divides each row by that norm first. scaling: "source" standardises all rows by
    the source's means and deviations, "each" either domain by its own, "none" neither, as is the custom with counts of
    words. But for "each" the target inputs are not used.
    """

    LATER: ClassVar[tuple[str, ...]] = ("normalise", "scaling")
    adapts = False
    widest = 100_000  # it has no matrix of columns

    c: Positive = 1.0
    normalise: Normalise = "none"
    scaling: Scaling = "source"

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and, for `scaling` "each", target [m, d].

        Raises:
            UserError: inputs that are not finite, or a source of one class.
        """
        given = checked(self.name, source_inputs, source_labels, target_inputs)
        of_source, of_target = scalers(given, self.normalise, self.scaling)
        return Fitted(of_target, margins(of_source(given.source), given.labels, self.c))


def margins(rows: np.ndarray, labels: np.ndarray, c: float) -> Map:
    """Scores [., c] of one machine a class, fitted on rows [n, d] and labels [n]; at most 1000 n d steps a class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    # the primal problem, by Newton's method, is the quicker only where rows far outnumber columns
    machine = LinearSVC(C=c, dual=len(rows) < 10 * rows.shape[1], random_state=0)
    with warnings.catch_warnings():  # of separable classes, the last digits of the margins take for ever
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = machine.fit(rows, labels)

    def scores(new: np.ndarray) -> np.ndarray:
        margin = fitted.decision_function(new)
        return all_classes(margin if margin.ndim == 2 else np.stack([-margin, margin], axis=1), fitted.classes_)

    return scores
