"""A linear support vector machine without adaptation."""

import warnings
from typing import Literal

import numpy as np

from da_bench.classical.common import Fitted, Map, Normalise, Scaling, all_classes, checked, scalers
from da_bench.core.config import Positive, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier

MOST_ROWS = 20_000  # of which the inner products of all pairs are 3 GB


@register
class Svm(ClassicalMethod):
    """A linear SVM on the source, one class against the rest.

    c: inverse strength of the L2 penalty (scikit-learn's C). loss: of the margins, "squared_hinge", which with a
    penalty on the bias, too, is LIBLINEAR's default, or "hinge", the bias free, as LIBSVM has it (Chang and Lin, ACM
    TIST 2(3), 2011, Eq. 1). A margin is no probability; validators that want one read the softmax of the margins, which
    ranks the classes as the machine does, and is not calibrated. normalise: "l1" or "l2" divides each row by that norm
    first. scaling: "source" standardises all rows by the source's means and deviations, "each" either domain by its
    own, "none" neither, as is the custom with counts of words. But for "each" the target inputs are not used.
    """

    adapts = False
    widest = 100_000  # it has no matrix of columns

    c: Positive = 1.0
    normalise: Normalise = field(default="none", since="0.1")
    scaling: Scaling = field(default="source", since="0.1")
    loss: Literal["squared_hinge", "hinge"] = field(default="squared_hinge", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and, for `scaling` "each", target [m, d].

        Raises:
            UserError: inputs that are not finite, a source of one class, or of more than 20000 rows and loss = "hinge".
        """
        if self.loss == "hinge" and len(source_inputs) > MOST_ROWS:
            raise UserError(
                f'Svm.loss = "hinge" compares all pairs of the {len(source_inputs)} training rows of the source, and '
                f'can of at most {MOST_ROWS}; take "squared_hinge"'
            )
        given = checked(self.name, source_inputs, source_labels, target_inputs)
        of_source, of_target = scalers(given, self.normalise, self.scaling)
        fitted = free_margins if self.loss == "hinge" else margins
        return Fitted(of_target, fitted(of_source(given.source), given.labels, self.c))


def margins(rows: np.ndarray, labels: np.ndarray, c: float) -> Map:
    """Scores [., c] of one machine a class, fitted on rows [n, d] and labels [n]; at most 1000 n d steps a class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    # the primal problem, by Newton's method, is the quicker only where rows far outnumber columns
    machine = LinearSVC(C=c, dual=len(rows) < 10 * rows.shape[1], random_state=0)
    with warnings.catch_warnings():  # of separable classes, the last digits of the margins take for ever
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = machine.fit(rows, labels)

    return lambda new: of_classes(fitted.decision_function(new), fitted.classes_)


def free_margins(rows: np.ndarray, labels: np.ndarray, c: float) -> Map:
    """As `margins`, with the hinge loss and a free bias; by the inner products of rows, whose columns may be many."""
    from sklearn.svm import SVC

    classes, inner, planes = np.unique(labels), rows @ rows.T, []
    for one in classes[1:] if len(classes) == 2 else classes:
        machine = SVC(C=c, kernel="precomputed").fit(inner, labels == one)
        planes.append((machine.dual_coef_[0] @ rows[machine.support_], machine.intercept_[0]))
    normals, biases = (np.stack(part) for part in zip(*planes, strict=True))
    return lambda new: of_classes(new @ normals.T + biases, classes)


def of_classes(margin: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Scores [n, c] by margins [n] or [n, 1] of the second of two classes, or [n, k] of each of k."""
    margin = margin.reshape(len(margin), -1)
    return all_classes(np.hstack([-margin, margin]) if margin.shape[1] == 1 else margin, classes)
