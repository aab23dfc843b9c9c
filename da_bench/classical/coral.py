"""CORAL for input features: correlation alignment followed by a linear classifier."""

from typing import Literal

import numpy as np

from da_bench.classical._classifiers import fit_linear_svm, fit_logistic_regression
from da_bench.classical._linalg import symmetric_power
from da_bench.classical._preprocessing import Normalise, fit_scalers, validate_rows
from da_bench.classical.base import FittedClassifier
from da_bench.core.config import Positive, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier


@register
class ShallowCoral(ClassicalMethod):
    """CORAL: whiten the source, re-colour it with the covariance of the target, and fit a linear classifier.

    As in the paper, each domain is standardised separately first, which aligns the means as well.

    Args:
        ridge: number added to the diagonal of both covariances, positive; the paper uses 1.
        c: inverse strength of the classifier's L2 penalty (scikit-learn's C), positive.
        classifier: "logistic" (logistic regression), or "svm" as in the paper, which has no probabilities for
            label-free validators.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".

    References:
        Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation, AAAI 2016. arXiv:1511.05547, Algorithm 1.
    """

    ridge: Positive = 1.0
    c: Positive = 1.0
    classifier: Literal["logistic", "svm"] = field(default="logistic", since="0.1")
    normalise: Normalise = field(default="none", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows and unlabelled target rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d].

        Returns:
            The fitted classifier of target rows.

        Raises:
            UserError: an input is not finite, the source has only one class, or a domain has a single row.
        """
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        if min(len(rows.source), len(rows.target)) < 2:
            raise UserError(
                f"{self.name}: a covariance needs at least 2 training rows of each domain, but there are "
                f"{len(rows.source)} of the source and {len(rows.target)} of the target"
            )
        scale_source, scale_target = fit_scalers(rows, self.normalise, "each")
        source, target = scale_source(rows.source), scale_target(rows.target)
        aligned = source @ coral_matrix(source, target, self.ridge)
        fit = fit_linear_svm if self.classifier == "svm" else fit_logistic_regression
        return FittedClassifier(scale_target, fit(aligned, rows.labels, self.c))


def coral_matrix(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """A = C_s^(-1/2) C_t^(1/2) [d, d], with C the covariance of source [n, d] or target [m, d] plus ridge I."""
    source_cov, target_cov = (np.cov(x, rowvar=False) + ridge * np.eye(x.shape[1]) for x in (source, target))
    return symmetric_power(source_cov, -0.5) @ symmetric_power(target_cov, 0.5)
