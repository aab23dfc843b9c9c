"""Methods without a network: correlation alignment of the inputs, and a logistic regression."""

from typing import Any

import numpy as np
import scipy.linalg

from da_bench.methods import Shallow, register
from da_bench.methods.base import Classifier
from da_bench.settings import Positive
from da_bench.types import Array


def _logistic_regression(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))


@register
class LogisticRegression(Shallow):
    """Multinomial logistic regression on the standardised source: what `ShallowCoral` is without the alignment.

    c: inverse strength of the L2 penalty (scikit-learn's C). The target inputs are not used.
    """

    adapts = False

    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n]."""
        return _logistic_regression(self.c).fit(source_inputs, source_labels)


@register
class ShallowCoral(Shallow):
    """CORAL: whiten the source, re-colour it with the target's covariance, then fit a logistic regression on it.

    ridge: what is added to the diagonal of both covariances, the paper's 1. c: inverse strength of the classifier's L2
    penalty; the paper's classifier is a linear SVM, which has no probabilities for label-free validators. As in the
    paper, each domain is first standardised on its own, which aligns the means as well.

    References: Sun, Feng and Saenko, Return of Frustratingly Easy Domain Adaptation, AAAI 2016. arXiv:1511.05547,
    Algorithm 1.
    """

    ridge: Positive = 1.0
    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and unlabelled target [m, d]."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(target_inputs)  # of new inputs too: they come from the target
        source = StandardScaler().fit_transform(source_inputs)
        aligned = source @ recolouring(source, scaler.transform(target_inputs), self.ridge)
        classifier = LogisticRegression(C=self.c, max_iter=1000).fit(aligned, source_labels)
        return make_pipeline(scaler, classifier)


def recolouring(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """A = C_s^(-1/2) C_t^(1/2) [d, d] of the covariances of source [n, d] and target [m, d], each plus ridge I."""
    of_source, of_target = (np.cov(x, rowvar=False) + ridge * np.eye(x.shape[1]) for x in (source, target))
    return symmetric_power(of_source, -0.5) @ symmetric_power(of_target, 0.5)


def symmetric_power(matrix: np.ndarray, power: float) -> np.ndarray:
    """A positive definite matrix [d, d] to a real power, by its eigenvalues."""
    values, vectors = scipy.linalg.eigh(matrix)
    return (vectors * values**power) @ vectors.T
