"""Methods without a network: correlation alignment of the inputs, and a logistic regression."""

from typing import Literal

import numpy as np
import scipy.linalg

from da_bench.classical.common import Fitted, Normalise, checked, logistic, scalers, standardiser
from da_bench.classical.svm import margins
from da_bench.core.config import Positive, UserError, field
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier


@register
class LogisticRegression(ClassicalMethod):
    """Multinomial logistic regression on the standardised source: what `ShallowCoral` is without the alignment.

    c: inverse strength of the L2 penalty (scikit-learn's C). The target inputs are not used.
    """

    adapts = False

    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n].

        Raises:
            UserError: inputs that are not finite, or a source of one class.
        """
        source, labels, _ = checked(self.name, source_inputs, source_labels, target_inputs)
        scale = standardiser(source)
        return Fitted(scale, logistic(scale(source), labels, self.c))


@register
class ShallowCoral(ClassicalMethod):
    """CORAL: whiten the source, re-colour it with the target's covariance, then fit a linear classifier on it.

    ridge: what is added to the diagonal of both covariances, the paper's 1. c: inverse strength of the classifier's L2
    penalty. classifier: "logistic", a logistic regression, or "svm", the paper's, which has no probabilities for
    label-free validators. normalise: "l1" or "l2" divides each row by that norm first. As in the paper, each domain is
    then standardised on its own, which aligns the means as well.

    References: Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation, AAAI 2016. arXiv:1511.05547,
    Algorithm 1.
    """

    ridge: Positive = 1.0
    c: Positive = 1.0
    classifier: Literal["logistic", "svm"] = field(default="logistic", since="0.1")
    normalise: Normalise = field(default="none", since="0.1")

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and unlabelled target [m, d].

        Raises:
            UserError: inputs that are not finite, a source of one class, or one row of a domain, which has no spread.
        """
        given = checked(self.name, source_inputs, source_labels, target_inputs)
        if min(len(given.source), len(given.target)) < 2:
            raise UserError(f"{self.name}: a covariance needs 2 training rows of each domain; give more")
        of_source, of_target = scalers(given, self.normalise, "each")  # new inputs are the target's
        source, target = of_source(given.source), of_target(given.target)
        aligned = source @ recolouring(source, target, self.ridge)
        fitted = margins if self.classifier == "svm" else logistic
        return Fitted(of_target, fitted(aligned, given.labels, self.c))


def recolouring(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """A = C_s^(-1/2) C_t^(1/2) [d, d] of the covariances of source [n, d] and target [m, d], each plus ridge I."""
    of_source, of_target = (np.cov(x, rowvar=False) + ridge * np.eye(x.shape[1]) for x in (source, target))
    return symmetric_power(of_source, -0.5) @ symmetric_power(of_target, 0.5)


def symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    """A positive definite matrix [d, d] to a real power, by its eigenvalues."""
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T
