"""Methods that project both domains on components along which their means agree: TCA, JDA and BDA."""

import abc
from typing import Literal, NamedTuple

import numpy as np
import scipy.linalg

from da_bench.classical._classifiers import fit_classifier
from da_bench.classical._linalg import gaussian_kernel, leading_eigenvectors, median_distance
from da_bench.classical._preprocessing import TrainingRows, Transform, normalise_rows
from da_bench.classical.a_distance import proxy_a_distance
from da_bench.classical.base import Alignment, AlignmentMethod
from da_bench.core.config import Count, Fraction, Positive, config_dataclass
from da_bench.methods import register

Kernel = Literal["primal", "linear", "rbf"]


class KernelFeatures(NamedTuple):
    """Feature map phi of all training rows.

    Attributes:
        features: phi of the source rows, then of the target rows [n + m, r].
        scatter: their scatter matrix about the mean [r, r].
    """

    features: np.ndarray
    scatter: np.ndarray


@config_dataclass
class ComponentMethod(AlignmentMethod, abc.ABC):
    """Linear map of phi(x) along which the means of the domains agree while the rows keep their variance.

    Costs O((n + m) r^2 + r^3) once, where r is d, or n + m with kernel "rbf", and O(k r^2) for each iteration if r is
    large. The defaults of `penalty`, `directions` and `unit_rows` are those of the code behind the published tables.
    The papers' own formulation is kernel="linear" or "rbf", directions="whitened", unit_rows=False.

    Args:
        kernel: "primal" weights the inputs themselves, phi(x) = x. "linear" and "rbf" weight the kernel values against
            all training rows, as in the papers; new target rows are mapped by the same weights.
        bandwidth: bandwidth of "rbf" as a multiple of the median distance between rows, positive.
        dimensions: number of components, at least 1; fewer if the rows vary in fewer.
        penalty: penalty of the squared weights, as a multiple of the Frobenius norm of the matrix of mean differences,
            positive.
        directions: "unit" scales each weight vector to length 1, as for the published tables; "whitened" gives all
            components equal variance, as in the papers' constraint.
        unit_rows: whether to scale each row to length 1 before and after the projection.
        normalise: norm by which each row is divided first of all: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as is customary; "none" does not.
        classifier: "1nn" as in the papers, or "logistic".
    """

    kernel: Kernel = "primal"
    bandwidth: Positive = 1.0
    dimensions: Count = 20
    penalty: Positive = 1.0
    directions: Literal["unit", "whitened"] = "unit"
    unit_rows: bool = True

    def align(self, rows: TrainingRows) -> Alignment:
        """Project the rows of both domains [n, k]."""
        pooled = self._to_unit_length(np.concatenate([rows.source, rows.target]))
        phi = fit_feature_map(self.kernel, pooled, self.bandwidth)
        features = phi(pooled)
        centred = features - features.mean(axis=0)
        weights = self.component_weights(rows, KernelFeatures(features, centred.T @ centred))

        def transform(new: np.ndarray) -> np.ndarray:
            return self._to_unit_length(phi(self._to_unit_length(new)) @ weights)

        return Alignment(transform(rows.source), transform)

    @abc.abstractmethod
    def component_weights(self, rows: TrainingRows, phi: KernelFeatures) -> np.ndarray:
        """Weights of phi [r, k]."""

    def solve(self, phi: KernelFeatures, contrasts: np.ndarray) -> np.ndarray:
        """Weights with the smallest mean differences.

        Args:
            phi: features of all training rows.
            contrasts: matrix E [n + m, q]; each column of phi^T E is a difference between two means.

        Returns:
            The weights [r, k].
        """
        scale = np.sqrt(np.linalg.norm(contrasts.T @ contrasts))  # its square is the Frobenius norm of E E^T
        weights = solve_components(phi.scatter, phi.features.T @ contrasts / scale, self.penalty, self.dimensions)
        return weights if self.directions == "whitened" else weights / np.linalg.norm(weights, axis=0)

    def pseudo_labels(self, rows: TrainingRows, phi: KernelFeatures, weights: np.ndarray) -> np.ndarray:
        """Labels of the target rows [m] that the classifier on the projected source predicts."""
        projected = self._to_unit_length(phi.features @ weights)
        n = len(rows.source)
        return fit_classifier(self.classifier, projected[:n], rows.labels)(projected[n:]).argmax(axis=1)

    def _to_unit_length(self, rows: np.ndarray) -> np.ndarray:
        return normalise_rows(rows, "l2") if self.unit_rows else rows


@register
class Tca(ComponentMethod):
    """TCA: components along which the means of both domains agree and the pooled rows vary.

    Costs and the papers' own formulation are those of `ComponentMethod`.

    Args:
        kernel: "primal" weights the inputs themselves; "linear" and "rbf" weight the kernel values against all training
            rows, also for new target rows.
        bandwidth: bandwidth of "rbf" as a multiple of the median distance between rows, positive.
        dimensions: number of components, at least 1; fewer if the rows vary in fewer.
        penalty: penalty of the squared weights, as a multiple of the Frobenius norm of the matrix of mean differences
            (1 / n + 1 / m), positive; the paper's mu is the product. Default of the code behind the published tables.
        directions: "unit" scales each weight vector to length 1, as for the published tables; "whitened" gives all
            components equal variance, as in the paper's constraint.
        unit_rows: whether to scale each row to length 1 before and after the projection, as for the published tables.
        normalise: norm by which each row is divided first of all: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as is customary; "none" does not.
        classifier: "1nn" as in the paper, or "logistic".

    References:
        Pan, Tsang, Kwok and Yang, Domain Adaptation via Transfer Component Analysis, IEEE Transactions on Neural
        Networks 22(2), 2011. doi:10.1109/TNN.2010.2091281.
    """

    def component_weights(self, rows: TrainingRows, phi: KernelFeatures) -> np.ndarray:
        """Weights of phi [r, k]."""
        return self.solve(phi, domain_contrast(len(rows.source), len(rows.target)))


@register
class Jda(ComponentMethod):
    """JDA: components along which the means of the domains, and those of each class in them, agree.

    The first iteration uses no target labels and equals TCA; later ones use the pseudo-labels of the classifier on the
    projected source. The contrasts are those of the paper. The authors' code multiplies the contrast of the domains by
    the number of classes, and keeps the source's half of a class that is predicted nowhere, which is omitted here.

    Args:
        kernel: "primal" weights the inputs themselves; "linear" and "rbf" weight the kernel values against all training
            rows, also for new target rows.
        bandwidth: bandwidth of "rbf" as a multiple of the median distance between rows, positive.
        dimensions: number of components, at least 1; fewer if the rows vary in fewer.
        penalty: penalty of the squared weights, as a multiple of the Frobenius norm of the matrix of mean differences,
            positive; the paper's lambda is the product. Default of the code behind the published tables.
        directions: "unit" scales each weight vector to length 1, as for the published tables; "whitened" gives all
            components equal variance, as in the paper's constraint.
        unit_rows: whether to scale each row to length 1 before and after the projection, as for the published tables.
        normalise: norm by which each row is divided first of all: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as is customary; "none" does not.
        classifier: "1nn" as in the paper, or "logistic".
        iterations: number of times that the projection is computed, at least 1.

    References:
        Long, Wang, Ding, Sun and Yu, Transfer Feature Learning with Joint Distribution Adaptation, ICCV 2013.
        doi:10.1109/ICCV.2013.274, Algorithm 1.
    """

    iterations: Count = 10

    def component_weights(self, rows: TrainingRows, phi: KernelFeatures) -> np.ndarray:
        """Weights of phi [r, k]."""
        domains = domain_contrast(len(rows.source), len(rows.target))
        weights = self.solve(phi, domains)
        for _ in range(self.iterations - 1):
            classes = class_contrasts(rows.labels, self.pseudo_labels(rows, phi, weights))
            weights = self.solve(phi, np.concatenate([domains, classes], axis=1))
        return weights


@register
class Bda(ComponentMethod):
    """BDA: JDA with a balance between the means of the domains and those of the classes.

    The first pseudo-labels are those of the nearest source row, later ones those of the classifier on the projected
    source.

    Args:
        kernel: "primal" weights the inputs themselves; "linear" and "rbf" weight the kernel values against all training
            rows, also for new target rows.
        bandwidth: bandwidth of "rbf" as a multiple of the median distance between rows, positive.
        dimensions: number of components, at least 1; fewer if the rows vary in fewer.
        penalty: penalty of the squared weights, as a multiple of the Frobenius norm of the matrix of mean differences,
            positive; the paper's lambda is the product. Default of the code behind the published tables.
        directions: "unit" scales each weight vector to length 1, as for the published tables; "whitened" gives all
            components equal variance, as in the paper's constraint.
        unit_rows: whether to scale each row to length 1 before and after the projection, as for the published tables.
        normalise: norm by which each row is divided first of all: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately, as is customary; "none" does not.
        classifier: "1nn" as in the paper, or "logistic".
        iterations: number of times that the projection is computed, at least 1.
        balance: the paper's mu in [0, 1]: 0 aligns only the domains, 1 only the classes.
        estimate: whether to replace `balance` by the mean proxy A-distance of the classes, divided by the sum of it and
            that of the domains, from the first pseudo-labels; takes minutes with thousands of inputs.

    References:
        Wang, Chen, Hao, Feng and Shen, Balanced Distribution Adaptation for Transfer Learning, ICDM 2017.
        arXiv:1807.00516.
    """

    iterations: Count = 10
    balance: Fraction = 0.5
    estimate: bool = False

    def component_weights(self, rows: TrainingRows, phi: KernelFeatures) -> np.ndarray:
        """Weights of phi [r, k]."""
        pseudo_labels = fit_classifier("1nn", rows.source, rows.labels)(rows.target).argmax(axis=1)
        balance = estimate_balance(rows, pseudo_labels) if self.estimate else self.balance
        domains = np.sqrt(1 - balance) * domain_contrast(len(rows.source), len(rows.target))

        def solve(pseudo_labels: np.ndarray) -> np.ndarray:
            classes = np.sqrt(balance) * class_contrasts(rows.labels, pseudo_labels)
            return self.solve(phi, np.concatenate([domains, classes], axis=1))

        weights = solve(pseudo_labels)
        for _ in range(self.iterations - 1):
            weights = solve(self.pseudo_labels(rows, phi, weights))
        return weights


def fit_feature_map(kernel: Kernel, rows: np.ndarray, bandwidth: float) -> Transform:
    """Feature map phi with which the problem of every kernel is linear in its weights, with an L2 penalty on them.

    "primal" has phi(x) = x. "rbf" has phi(x)_i = k(x, rows_i). For "linear", the weights lie in the span of the left
    singular vectors of rows = U S V^T; in their coordinates phi(x) = x V S.

    Args:
        kernel: the kernel.
        rows: all training rows [n + m, d].
        bandwidth: bandwidth of "rbf" as a multiple of the median distance between rows.

    Returns:
        phi, a map of rows [., d] to features [., r].
    """
    if kernel == "primal":
        return lambda new: new
    if kernel == "linear":
        values, vectors = scipy.linalg.eigh(rows.T @ rows)
        matrix = vectors * np.sqrt(np.maximum(values, 0.0))
        return lambda new: new @ matrix
    sigma = bandwidth * median_distance(rows)
    return lambda new: gaussian_kernel(new, rows, sigma)


def domain_contrast(n: int, m: int) -> np.ndarray:
    """E [n + m, 1] for which phi^T E is the difference between the means of the domains (the paper's L is E E^T)."""
    return np.repeat([1 / n, -1 / m], [n, m])[:, None]


def class_contrasts(labels: np.ndarray, pseudo_labels: np.ndarray) -> np.ndarray:
    """E [n + m, q] with the difference between both means of each class that is in labels [n] and pseudo_labels [m]."""
    shared = np.intersect1d(labels, pseudo_labels)
    source, target = (classes[:, None] == shared for classes in (labels, pseudo_labels))
    return np.concatenate([source / source.sum(axis=0), -(target / target.sum(axis=0))])


def solve_components(scatter: np.ndarray, gaps: np.ndarray, penalty: float, n_components: int) -> np.ndarray:
    """W that minimises tr W^T (gaps gaps^T + penalty I) W subject to W^T scatter W = I.

    The solution consists of the leading eigenvectors of B^(-1/2) scatter B^(-1/2) with B = gaps gaps^T + penalty I; the
    root of B follows from the singular vectors of `gaps`.

    Args:
        scatter: scatter matrix of phi about its mean [r, r].
        gaps: mean differences as columns [r, q].
        penalty: penalty of the squared weights, positive.
        n_components: number of columns of W; fewer if `scatter` has a smaller rank.

    Returns:
        W [r, k].
    """
    left, singular, _ = np.linalg.svd(gaps, full_matrices=False)
    shrinkage = 1 - np.sqrt(penalty / (penalty + singular**2))

    def whiten(matrix: np.ndarray) -> np.ndarray:
        return (matrix - left @ (shrinkage[:, None] * (left.T @ matrix))) / np.sqrt(penalty)

    values, vectors = leading_eigenvectors(whiten(whiten(scatter).T), min(n_components, len(scatter)))
    return whiten(vectors) / np.sqrt(values)


def estimate_balance(rows: TrainingRows, pseudo_labels: np.ndarray) -> float:
    """Balance of BDA estimated from proxy A-distances.

    Args:
        rows: training rows.
        pseudo_labels: labels of the target rows [m].

    Returns:
        Mean A-distance of the classes with at least two rows in each domain, divided by the sum of it and the
        A-distance of the domains, in [0, 1]; 1/2 if both are 0.
    """
    domains = proxy_a_distance(rows.source, rows.target) if min(len(rows.source), len(rows.target)) > 1 else 0.0
    pairs = [(rows.source[rows.labels == c], rows.target[pseudo_labels == c]) for c in np.unique(rows.labels)]
    distances = [proxy_a_distance(*pair) for pair in pairs if min(map(len, pair)) > 1]
    classes = float(np.mean(distances)) if distances else 0.0
    return classes / (classes + domains) if classes + domains > 0 else 0.5
