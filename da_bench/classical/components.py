"""Projections on which the domains' means agree, of all rows and of each class: TCA, JDA and BDA."""

import abc
from typing import Literal, NamedTuple

import numpy as np
import scipy.linalg

from da_bench.classical.a_distance import proxy_a_distance
from da_bench.classical.common import Aligned, Domains, Map, gaussian, head, leading, median_distance, normalised
from da_bench.core.config import Count, Fraction, Positive, setting
from da_bench.methods import register

Kernel = Literal["primal", "linear", "rbf"]


class Space(NamedTuple):
    """phi of all n + m rows [n + m, r], and its scatter about its mean [r, r]."""

    features: np.ndarray
    scatter: np.ndarray


@setting
class Projection(Aligned, abc.ABC):
    """A linear map of phi(x) on which the domains' means agree while the rows keep their variance.

    kernel: "primal" weighs the inputs themselves, phi(x) = x; "linear" and "rbf" weigh the kernel's values against all
    training rows, as the papers' formulas do; a new target row is mapped by the same weights of its own kernel values.
    bandwidth: of "rbf", as a multiple of the median distance between rows. dimensions: of the projection, at most.
    penalty: of the weights' squares, as a multiple of the Frobenius norm of the matrix of differences between means, as
    in the code of JDA's authors. directions: "unit", weights of length 1, with which the published tables are made, or
    "whitened", equal variance along all, as the papers' constraint has it. unit_rows: make each row of length 1 before
    and after the projection.
    """

    kernel: Kernel = "primal"
    bandwidth: Positive = 1.0
    dimensions: Count = 20
    penalty: Positive = 1.0
    directions: Literal["unit", "whitened"] = "unit"
    unit_rows: bool = True

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """The source's projected rows, and the projection."""
        pooled = self._unit(np.concatenate([rows.source, rows.target]))
        phi = feature_map(self.kernel, pooled, self.bandwidth)
        features = phi(pooled)
        centred = features - features.mean(axis=0)
        weights = self.weights(rows, Space(features, centred.T @ centred))

        def embed(new: np.ndarray) -> np.ndarray:
            return self._unit(phi(self._unit(new)) @ weights)

        return embed(rows.source), embed

    @abc.abstractmethod
    def weights(self, rows: Domains, space: Space) -> np.ndarray:
        """The weights [r, k] of phi."""

    def solve(self, space: Space, contrasts: np.ndarray) -> np.ndarray:
        """The weights [r, k] of least difference between the means that `contrasts` [n + m, q] compare."""
        size = np.sqrt(np.linalg.norm(contrasts.T @ contrasts))  # its square is the Frobenius norm of E E^T
        found = components(space.scatter, space.features.T @ contrasts / size, self.penalty, self.dimensions)
        return found if self.directions == "whitened" else found / np.linalg.norm(found, axis=0)

    def guess(self, rows: Domains, space: Space, weights: np.ndarray) -> np.ndarray:
        """Labels [m] of the target's rows, by the classifier on the projected source."""
        projected = self._unit(space.features @ weights)
        n = len(rows.source)
        return head(self.classifier, projected[:n], rows.labels)(projected[n:]).argmax(axis=1)

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        return normalised(rows, "l2") if self.unit_rows else rows


@register
class Tca(Projection):
    """TCA: components along which both domains' means agree and the pooled rows vary.

    kernel: "primal" weighs the inputs themselves; "linear" and "rbf" weigh kernel values against all training rows,
    those of new target rows likewise. bandwidth: of "rbf", as a multiple of the median distance between rows.
    dimensions: of the projection, at most. penalty: of the weights' squares, as a multiple of the Frobenius norm of
    the matrix of differences between means (1 / n + 1 / m; the paper's mu is the product). directions: "unit",
    weights of length 1, or "whitened", equal variance along all, as the paper's constraint has it. unit_rows: make
    each row of length 1, before and after the projection. normalise: "l1" or "l2" divides each row by that norm
    first of all. scaling: "each" z-scores the domains on their own, as is the custom, "none" does not. classifier:
    "1nn" as in the paper, or "logistic". The defaults of `penalty`, `directions` and `unit_rows` are those of the
    code that the published tables come from. Costs O((n + m) r^2 + r^3) once, r = d or, of "rbf", n + m, and O(k
    r^2) an iteration where r is large. The paper's own formulation is kernel="linear" or "rbf",
    directions="whitened", unit_rows=False.

    References: Pan, Tsang, Kwok and Yang, Domain Adaptation via Transfer Component Analysis, IEEE Transactions on
    Neural Networks 22(2), 2011. doi:10.1109/TNN.2010.2091281.
    """

    def weights(self, rows: Domains, space: Space) -> np.ndarray:
        """The weights [r, k] of phi."""
        return self.solve(space, marginal_contrast(len(rows.source), len(rows.target)))


@register
class Jda(Projection):
    """JDA: components along which the means of the domains, and of every class in them, agree.

    kernel: "primal" weighs the inputs themselves; "linear" and "rbf" weigh kernel values against all training rows,
    those of new target rows likewise. bandwidth: of "rbf", as a multiple of the median distance between rows.
    dimensions: of the projection, at most. penalty: of the weights' squares, as a multiple of the Frobenius norm of
    the matrix of differences between means (the paper's lambda is the product). directions: "unit", weights of
    length 1, or "whitened", equal variance along all, as the paper's constraint has it. unit_rows: make each row of
    length 1, before and after the projection. normalise: "l1" or "l2" divides each row by that norm first of all.
    scaling: "each" z-scores the domains on their own, as is the custom, "none" does not. classifier: "1nn" as in
    the paper, or "logistic". The defaults of `penalty`, `directions` and `unit_rows` are those of the code that the
    published tables come from. Costs O((n + m) r^2 + r^3) once, r = d or, of "rbf", n + m, and O(k r^2) an
    iteration where r is large. iterations: how often the projection is found: first without labels of the target,
    as TCA's, then with those that the classifier on the projected source guesses. The contrasts are the paper's; the
    authors' code multiplies that of the domains by the number of classes, and of a class that is guessed nowhere,
    which is left out here, keeps the source's half.

    References: Long, Wang, Ding, Sun and Yu, Transfer Feature Learning with Joint Distribution Adaptation, ICCV
    2013. doi:10.1109/ICCV.2013.274, Algorithm 1.
    """

    iterations: Count = 10

    def weights(self, rows: Domains, space: Space) -> np.ndarray:
        """The weights [r, k] of phi."""
        whole = marginal_contrast(len(rows.source), len(rows.target))
        weights = self.solve(space, whole)
        for _ in range(self.iterations - 1):
            guessed = self.guess(rows, space, weights)
            weights = self.solve(space, np.concatenate([whole, class_contrasts(rows.labels, guessed)], axis=1))
        return weights


@register
class Bda(Projection):
    """BDA: JDA with a balance between the means of the domains and those of the classes.

    kernel: "primal" weighs the inputs themselves; "linear" and "rbf" weigh kernel values against all training rows,
    those of new target rows likewise. bandwidth: of "rbf", as a multiple of the median distance between rows.
    dimensions: of the projection, at most. penalty: of the weights' squares, as a multiple of the Frobenius norm of
    the matrix of differences between means (the paper's lambda is the product). directions: "unit", weights of
    length 1, or "whitened", equal variance along all, as the paper's constraint has it. unit_rows: make each row of
    length 1, before and after the projection. normalise: "l1" or "l2" divides each row by that norm first of all.
    scaling: "each" z-scores the domains on their own, as is the custom, "none" does not. classifier: "1nn" as in
    the paper, or "logistic". The defaults of `penalty`, `directions` and `unit_rows` are those of the code that the
    published tables come from. Costs O((n + m) r^2 + r^3) once, r = d or, of "rbf", n + m, and O(k r^2) an
    iteration where r is large. iterations: how often the projection is found; the target's labels are guessed by
    the nearest source row first, then by the classifier on the projected source. balance: the paper's mu, 0 only
    the domains' means, 1 only the classes'. estimate: in the place of `balance`, take the share of the classes'
    mean proxy A-distance in the sum of it and the domains', from the first guess; minutes where there are thousands
    of inputs.

    References: Wang, Chen, Hao, Feng and Shen, Balanced Distribution Adaptation for Transfer Learning, ICDM 2017.
    arXiv:1807.00516.
    """

    iterations: Count = 10
    balance: Fraction = 0.5
    estimate: bool = False

    def weights(self, rows: Domains, space: Space) -> np.ndarray:
        """The weights [r, k] of phi."""
        guessed = head("1nn", rows.source, rows.labels)(rows.target).argmax(axis=1)
        balance = estimated_balance(rows, guessed) if self.estimate else self.balance
        whole = np.sqrt(1 - balance) * marginal_contrast(len(rows.source), len(rows.target))

        def solved(guessed: np.ndarray) -> np.ndarray:
            classes = np.sqrt(balance) * class_contrasts(rows.labels, guessed)
            return self.solve(space, np.concatenate([whole, classes], axis=1))

        weights = solved(guessed)
        for _ in range(self.iterations - 1):
            weights = solved(self.guess(rows, space, weights))
        return weights


def feature_map(kernel: Kernel, rows: np.ndarray, bandwidth: float) -> Map:
    """phi with which every kernel's problem is one of weights on phi(x) [., r], their penalty a sum of squares.

    Of "primal", phi(x) = x. Of a kernel, phi(x)_i = k(x, rows_i): of "rbf" as it stands; of "linear", whose weights lie
    in the span of the left singular vectors of rows = U S V^T, in their coordinates: phi(x) = x V S.
    """
    if kernel == "primal":
        return lambda new: new
    if kernel == "linear":
        values, vectors = scipy.linalg.eigh(rows.T @ rows)
        turn = vectors * np.sqrt(np.maximum(values, 0.0))
        return lambda new: new @ turn
    sigma = bandwidth * median_distance(rows)
    return lambda new: gaussian(new, rows, sigma)


def marginal_contrast(n: int, m: int) -> np.ndarray:
    """E [n + m, 1] of L = E E^T: phi^T E is the difference between the domains' means."""
    return np.repeat([1 / n, -1 / m], [n, m])[:, None]


def class_contrasts(labels: np.ndarray, guessed: np.ndarray) -> np.ndarray:
    """E [n + m, q], a column for every class in labels [n] and guessed [m]: the difference between its means."""
    shared = np.intersect1d(labels, guessed)
    source, target = (of[:, None] == shared for of in (labels, guessed))
    return np.concatenate([source / source.sum(axis=0), -(target / target.sum(axis=0))])


def components(scatter: np.ndarray, gaps: np.ndarray, penalty: float, k: int) -> np.ndarray:
    """W [r, k] minimising tr W^T (gaps gaps^T + penalty I) W subject to W^T scatter W = I.

    scatter [r, r]: of phi about its mean; gaps [r, q]: differences between means. By the leading eigenvectors of
    B^(-1/2) scatter B^(-1/2), B = gaps gaps^T + penalty I, whose root is known from the singular vectors of gaps.
    """
    left, singular, _ = np.linalg.svd(gaps, full_matrices=False)
    shrinkage = 1 - np.sqrt(penalty / (penalty + singular**2))

    def whiten(matrix: np.ndarray) -> np.ndarray:
        return (matrix - left @ (shrinkage[:, None] * (left.T @ matrix))) / np.sqrt(penalty)

    values, vectors = leading(whiten(whiten(scatter).T), min(k, len(scatter)))
    return whiten(vectors) / np.sqrt(values)


def estimated_balance(rows: Domains, guessed: np.ndarray) -> float:
    """The share of the mean proxy A-distance of the classes in the sum of it and the domains'; 1/2 if both are 0.

    guessed [m]: labels of the target. A class counts that has two rows in each domain.
    """
    apart = proxy_a_distance(rows.source, rows.target) if min(len(rows.source), len(rows.target)) > 1 else 0.0
    classes = [(rows.source[rows.labels == c], rows.target[guessed == c]) for c in np.unique(rows.labels)]
    distances = [proxy_a_distance(*pair) for pair in classes if min(map(len, pair)) > 1]
    within = float(np.mean(distances)) if distances else 0.0
    return within / (within + apart) if within + apart > 0 else 0.5
