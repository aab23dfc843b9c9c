"""Methods for covariate shift: source rows count as much more as they are more frequent in the target."""

from typing import ClassVar

import numpy as np

from da_bench.classical.common import Fitted, checked, gaussian, logistic, median_distance, standardiser
from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier

STEPS = 1000  # at most, of the quadratic program's solver: its objective is then within 1e-4 of the least
HALVINGS = 100  # of an interval: to the last bit
TOLERANCE = 1e-6  # of a weight, between two steps


BEYOND = "weights on source rows cannot move them, and the clusters are moved"


@register
class KernelMeanMatching(ClassicalMethod):
    """KMM: weights with which the source's mean in a kernel's space is nearest the target's, then logistic regression.

    bandwidth: of the Gaussian kernel, as a multiple of the median distance between rows. bound: the largest weight B,
    the paper's 1000. slack: how far the mean weight may be from 1 (the paper's epsilon); None is the paper's
    (sqrt(n) - 1) / sqrt(n). c: inverse strength of the classifier's L2 penalty. Inputs of both domains are standardised
    by the source, for the map between them is the identity. Costs O(n (n + m)) memory and an iteration.

    References: Huang, Smola, Gretton, Borgwardt and Schoelkopf, Correcting Sample Selection Bias by Unlabeled Data,
    NIPS 2006. doi:10.7551/mitpress/7503.003.0080.
    """

    expected_failed_checks: ClassVar = {"gains_on_moved_domains": BEYOND}

    bandwidth: Positive = 1.0
    bound: Positive = 1000.0
    slack: NonNegative | None = None
    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and unlabelled target [m, d].

        Raises:
            UserError: inputs that are not finite, or a source of one class.
        """
        inputs, labels, target_inputs = checked(self.name, source_inputs, source_labels, target_inputs)
        scale = standardiser(inputs)
        source, target = scale(inputs), scale(target_inputs)
        sigma = self.bandwidth * median_distance(np.concatenate([source, target]))
        n = len(source)
        slack = (np.sqrt(n) - 1) / np.sqrt(n) if self.slack is None else self.slack
        pull = n * gaussian(source, target, sigma).mean(axis=1)
        weights = matching_weights(gaussian(source, source, sigma), pull, self.bound, slack)
        return Fitted(scale, logistic(source, labels, self.c, weights))


def matching_weights(kernel: np.ndarray, pull: np.ndarray, bound: float, slack: float) -> np.ndarray:
    """Weights w [n] of least w^T K w / 2 - pull^T w, 0 <= w <= bound, their mean within 1 -+ slack.

    kernel K [n, n], positive semi-definite; pull [n]. By accelerated projected gradients, begun anew whenever the last
    step went uphill. A bound below 1 - slack leaves every weight at the bound.
    """
    n = len(kernel)
    step = 1 / largest_eigenvalue(kernel)
    weights = ahead = np.full(n, min(1.0, bound))
    momentum = 1.0
    for _ in range(STEPS):
        new = into_limits(ahead - step * (kernel @ ahead - pull), bound, n * (1 - slack), n * (1 + slack))
        if np.abs(new - ahead).max() <= TOLERANCE:
            return new
        uphill = (ahead - new) @ (new - weights) > 0
        following = 1.0 if uphill else (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new if uphill else new + (momentum - 1) / following * (new - weights)
        weights, momentum = new, following
    return weights


def into_limits(weights: np.ndarray, bound: float, least: float, most: float) -> np.ndarray:
    """The nearest point to weights [n] with all within 0 and bound, and their sum within least and most."""
    inside = np.clip(weights, 0.0, bound)
    if least <= inside.sum() <= most:
        return inside
    total = least if inside.sum() < least else most
    low, high = -weights.max(), bound - weights.min()  # shifts with which all are at 0, and all at the bound
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(weights + middle, 0.0, bound).sum() < total else (low, middle)
    return np.clip(weights + high, 0.0, bound)


def largest_eigenvalue(matrix: np.ndarray) -> float:
    """A bound on it, for a symmetric matrix [n, n] without negative entries: the largest sum of a row."""
    return float(matrix.sum(axis=1).max())


@register
class DensityRatio(ClassicalMethod):
    """Weights p(target | x) / p(source | x) of a logistic regression between the domains, then another on the classes.

    domain_c: inverse strength of the L2 penalty of the one between domains; the smaller, the more even the weights.
    c: of the one between classes. Weights are scaled to a mean of 1, so the domains' sizes do not matter. Inputs of
    both domains are standardised by the source, for the map between them is the identity. Where the domains can be
    separated, as in many dimensions, few rows bear all the weight.

    References: Bickel, Brueckner and Scheffer, Discriminative Learning Under Covariate Shift, JMLR 10, 2009.
    doi:10.5555/1577069.1755858.
    """

    expected_failed_checks: ClassVar = {"gains_on_moved_domains": BEYOND}

    domain_c: Positive = 1.0
    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and unlabelled target [m, d].

        Raises:
            UserError: inputs that are not finite, or a source of one class.
        """
        inputs, labels, target_inputs = checked(self.name, source_inputs, source_labels, target_inputs)
        scale = standardiser(inputs)
        source, target = scale(inputs), scale(target_inputs)
        return Fitted(scale, logistic(source, labels, self.c, ratio_weights(source, target, self.domain_c)))


def ratio_weights(source: np.ndarray, target: np.ndarray, c: float) -> np.ndarray:
    """Weights [n] of source rows [n, d], of mean 1, proportional to the odds that a row is of the target [m, d]."""
    is_target = np.repeat([0, 1], [len(source), len(target)])
    log_share = logistic(np.concatenate([source, target]), is_target, c)(source)
    log_odds = log_share[:, 1] - log_share[:, 0]
    odds = np.exp(log_odds - log_odds.max())
    return odds / odds.mean()
