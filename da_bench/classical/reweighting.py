"""Methods for covariate shift: weight the source rows by how frequent they are in the target."""

import numpy as np

from da_bench.classical._classifiers import fit_logistic_regression
from da_bench.classical._linalg import gaussian_kernel, median_distance
from da_bench.classical._preprocessing import fit_standardiser, validate_rows
from da_bench.classical.base import FittedClassifier
from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod, register
from da_bench.methods.base import Classifier

MAX_ITERATIONS = 1000  # of the quadratic program; its objective is then within 1e-4 of the minimum
BISECTIONS = 100  # enough to find a shift to the last bit
TOLERANCE = 1e-6  # change of a weight at which the iteration has converged

NOT_A_COVARIATE_SHIFT = "weights on source rows cannot move them, and this check moves the clusters"


@register(expected_failures={"gains_on_moved_domains": NOT_A_COVARIATE_SHIFT})
class KernelMeanMatching(ClassicalMethod):
    """KMM: weights that bring the kernel mean of the source closest to that of the target, then logistic regression.

    Both domains are standardised by the statistics of the source, because the map between them is the identity. Costs
    O(n (n + m)) memory, and as much time for each iteration.

    Args:
        bandwidth: bandwidth of the Gaussian kernel as a multiple of the median distance between rows, positive.
        bound: the largest weight B, positive; the paper uses 1000.
        slack: largest deviation of the mean weight from 1 (the paper's epsilon), non-negative; None: the paper's
            (sqrt(n) - 1) / sqrt(n).
        c: inverse strength of the classifier's L2 penalty (scikit-learn's C), positive.

    References:
        Huang, Smola, Gretton, Borgwardt and Schoelkopf, Correcting Sample Selection Bias by Unlabeled Data, NIPS 2006.
        doi:10.7551/mitpress/7503.003.0080.
    """

    bandwidth: Positive = 1.0
    bound: Positive = 1000.0
    slack: NonNegative | None = None
    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows and unlabelled target rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d].

        Returns:
            The fitted classifier.

        Raises:
            UserError: an input is not finite, or the source has only one class.
        """
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        scale = fit_standardiser(rows.source)
        source, target = scale(rows.source), scale(rows.target)
        sigma = self.bandwidth * median_distance(np.concatenate([source, target]))
        n = len(source)
        slack = (np.sqrt(n) - 1) / np.sqrt(n) if self.slack is None else self.slack
        kappa = n * gaussian_kernel(source, target, sigma).mean(axis=1)
        weights = kernel_mean_weights(gaussian_kernel(source, source, sigma), kappa, self.bound, slack)
        return FittedClassifier(scale, fit_logistic_regression(source, rows.labels, self.c, weights))


def kernel_mean_weights(kernel: np.ndarray, kappa: np.ndarray, bound: float, slack: float) -> np.ndarray:
    """Weights w that minimise w^T K w / 2 - kappa^T w subject to 0 <= w <= bound and a mean within 1 +- slack.

    Solved by accelerated projected gradients, restarted whenever the last step increased the objective.

    Args:
        kernel: kernel matrix K of the source rows [n, n], non-negative and positive semi-definite.
        kappa: n times the mean kernel value between each source row and the target rows [n].
        bound: largest weight. If it is below 1 - slack, all weights equal it.
        slack: largest deviation of the mean weight from 1.

    Returns:
        The weights [n].
    """
    n = len(kernel)
    step = 1 / kernel.sum(axis=1).max()  # the largest row sum bounds the largest eigenvalue, as no entry is negative
    weights = extrapolated = np.full(n, min(1.0, bound))
    momentum = 1.0
    for _ in range(MAX_ITERATIONS):
        gradient = kernel @ extrapolated - kappa
        new = project_weights(extrapolated - step * gradient, bound, n * (1 - slack), n * (1 + slack))
        if np.abs(new - extrapolated).max() <= TOLERANCE:
            return new
        restart = (extrapolated - new) @ (new - weights) > 0
        next_momentum = 1.0 if restart else (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        extrapolated = new if restart else new + (momentum - 1) / next_momentum * (new - weights)
        weights, momentum = new, next_momentum
    return weights


def project_weights(weights: np.ndarray, bound: float, min_sum: float, max_sum: float) -> np.ndarray:
    """Closest point [n] to weights [n] with entries in [0, bound] and a sum in [min_sum, max_sum]."""
    clipped = np.clip(weights, 0.0, bound)
    if min_sum <= clipped.sum() <= max_sum:
        return clipped
    total = min_sum if clipped.sum() < min_sum else max_sum
    low, high = -weights.max(), bound - weights.min()  # shifts for which all entries are 0, and all are at the bound
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(weights + middle, 0.0, bound).sum() < total else (low, middle)
    return np.clip(weights + high, 0.0, bound)


@register(expected_failures={"gains_on_moved_domains": NOT_A_COVARIATE_SHIFT})
class DensityRatio(ClassicalMethod):
    """Weights p(target | x) / p(source | x) from a logistic regression of the domains, then one of the classes.

    Weights are scaled to a mean of 1, so the sizes of the domains do not matter. Both domains are standardised by the
    statistics of the source, because the map between them is the identity. If the domains are separable, as in many
    dimensions, few rows carry all the weight.

    Args:
        domain_c: inverse strength of the L2 penalty between domains, positive; the smaller, the more even the weights.
        c: inverse strength of the L2 penalty between classes, positive.

    References:
        Bickel, Brueckner and Scheffer, Discriminative Learning Under Covariate Shift, JMLR 10, 2009.
        doi:10.5555/1577069.1755858.
    """

    domain_c: Positive = 1.0
    c: Positive = 1.0

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on labelled source rows and unlabelled target rows.

        Args:
            source_inputs: inputs of the source [n, d].
            source_labels: labels of the source [n].
            target_inputs: inputs of the target [m, d].

        Returns:
            The fitted classifier.

        Raises:
            UserError: an input is not finite, or the source has only one class.
        """
        rows = validate_rows(self.name, source_inputs, source_labels, target_inputs)
        scale = fit_standardiser(rows.source)
        source, target = scale(rows.source), scale(rows.target)
        weights = density_ratio_weights(source, target, self.domain_c)
        return FittedClassifier(scale, fit_logistic_regression(source, rows.labels, self.c, weights))


def density_ratio_weights(source: np.ndarray, target: np.ndarray, c: float) -> np.ndarray:
    """Weights of the source rows, proportional to the odds that a row belongs to the target, with a mean of 1.

    Args:
        source: rows of the source [n, d].
        target: rows of the target [m, d].
        c: inverse strength of the L2 penalty of the logistic regression.

    Returns:
        The weights [n].
    """
    is_target = np.repeat([0, 1], [len(source), len(target)])
    log_p = fit_logistic_regression(np.concatenate([source, target]), is_target, c)(source)
    log_odds = log_p[:, 1] - log_p[:, 0]
    odds = np.exp(log_odds - log_odds.max())
    return odds / odds.mean()
