"""Optimal transport: the source's rows are carried onto the target's, and the classifier is fitted where they arrive.

A new target row needs no map: it is classified as it is. That is why no source row ever has to be carried that was not
there when the plan was made.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.special

from da_bench.classical.common import Aligned, Domains, Map
from da_bench.classical.shallow import symmetric_power
from da_bench.core.config import NonNegative, Positive, UserError
from da_bench.methods import register

ITERATIONS = 1000  # at most, of Sinkhorn's algorithm
ROUNDS = 10  # of the linearised class term, POT's default
SMOOTHING = 1e-3  # under the root of the class term, POT's


def carry(plan: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The mean of the target's rows [m, d] to which a plan [n, m] sends each source row: [n, d]."""
    return plan @ target / plan.sum(axis=1, keepdims=True)


def unchanged(rows: np.ndarray) -> np.ndarray:
    """Target rows as they are."""
    return rows


@register
class LinearOt(Aligned):
    """Linear Monge map: the optimal transport between two Gaussian distributions of the domains' moments.

    ridge: added to the diagonal of both covariances, as a share of the mean variance of the target's columns.
    normalise: "l1" or "l2" divides each row by that norm first. scaling: "each" z-scores the domains on their own;
    "none" by default, as the map aligns means and covariances itself. classifier: "1nn", or "logistic". Source rows
    become A (x - mean_s) + mean_t, A = C_s^(-1/2) (C_s^(1/2) C_t C_s^(1/2))^(1/2) C_s^(-1/2). Costs O(d^3).

    References: Flamary, Lounici and Ferrari, Concentration bounds for linear Monge mapping estimation and optimal
    transport domain adaptation, 2019. arXiv:1905.10155.
    """

    ridge: Positive = 1e-3
    scaling: Literal["each", "none"] = "none"

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """The source carried onto the target, [n, d]; the target as it is."""
        centre = rows.source.mean(axis=0)
        variance = rows.target.var(axis=0).mean()
        matrix = monge_matrix(rows.source, rows.target, self.ridge * (variance if variance > 0 else 1.0))
        return (rows.source - centre) @ matrix + rows.target.mean(axis=0), unchanged


def monge_matrix(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """A [d, d], symmetric, with A C_s A = C_t, of the covariances of source [n, d] and target [m, d] plus ridge I."""
    of_source, of_target = (np.cov(x, rowvar=False, bias=True) + ridge * np.eye(x.shape[1]) for x in (source, target))
    root, inverse = symmetric_power(of_source, 0.5), symmetric_power(of_source, -0.5)
    return inverse @ symmetric_power(root @ of_target @ root, 0.5) @ inverse


@register
class EmdOt(Aligned):
    """Exact optimal transport of the source's rows onto the target's, each to the mean of where it is sent.

    normalise: "l1" or "l2" divides each row by that norm first. scaling: "each" z-scores the domains on their own;
    "none" as in the paper. classifier: "1nn" as in the paper, or "logistic". The cost is the squared distance,
    every row weighs the same. Costs O(n m) memory, and about O((n + m)^3) time at worst: seconds for 1000 rows a
    domain, minutes for 5000. Needs POT.

    References: Courty, Flamary, Tuia and Rakotomamonjy, Optimal Transport for Domain Adaptation, TPAMI 2017.
    arXiv:1507.00504.
    """

    scaling: Literal["each", "none"] = "none"

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """The source carried onto the target, [n, d]; the target as it is."""
        return carry(exact_plan(cost(rows.source, rows.target)), rows.target), unchanged


@register
class SinkhornOt(Aligned):
    """Optimal transport with an entropy, and on request a term against sending two classes to one target row.

    entropy: weight of the entropy (the paper's lambda), the cost being divided by its largest entry. classes:
    "none" (the paper's OT-IT), "group_lasso" (OT-GL), or "lp" (OT-LAB, the concave sum of square
    roots of Courty et al., ECML 2014). class_weight: weight of that term (the paper's eta), unused by "none".
    normalise: "l1" or "l2" divides each row by that norm first. scaling: "each" z-scores the domains on their own;
    "none" as in the paper, which finds both weights by cross-validation. classifier: "1nn" as in the paper, or
    "logistic". Costs O(n m) memory and an iteration, of which there are at most 1000, times 10 with a class term.
    Needs POT.

    References: Courty, Flamary, Tuia and Rakotomamonjy, Optimal Transport for Domain Adaptation, TPAMI 2017.
    arXiv:1507.00504.
    """

    entropy: Positive = 0.01
    classes: Literal["none", "group_lasso", "lp"] = "none"
    class_weight: NonNegative = 0.1
    scaling: Literal["each", "none"] = "none"

    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """The source carried onto the target, [n, d]; the target as it is."""
        costs = cost(rows.source, rows.target)
        if self.classes == "none":
            plan = entropic_plan(costs, self.entropy)
        elif self.classes == "lp":
            plan = lp_plan(costs, rows.labels, self.entropy, self.class_weight)
        else:
            plan = group_lasso_plan(costs, rows.labels, self.entropy, self.class_weight)
        return carry(plan, rows.target), unchanged


def pot() -> Any:
    """The library POT.

    Raises:
        UserError: it is not installed.
    """
    try:
        import ot
    except ImportError as error:
        raise UserError('emd_ot and sinkhorn_ot need POT: pip install "da-bench[ot]"') from error
    return ot


def cost(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Squared distances [n, m] between rows [n, d] and [m, d], divided by the largest: the solvers' tolerances."""
    from scipy.spatial.distance import cdist

    distances = cdist(source, target, "sqeuclidean")
    return distances / max(distances.max(), np.finfo(float).tiny)


def masses(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of the rows of either domain: [n] of 1 / n, and [m] of 1 / m."""
    n, m = costs.shape
    return np.full(n, 1 / n), np.full(m, 1 / m)


def exact_plan(costs: np.ndarray) -> np.ndarray:
    """The plan [n, m] of least cost, of network simplex."""
    return pot().emd(*masses(costs), costs, numItermax=100 * costs.size)


def entropic_plan(costs: np.ndarray, entropy: float) -> np.ndarray:
    """The plan [n, m] of least cost less entropy, by Sinkhorn's algorithm on logarithms, which never underflow."""
    return pot().sinkhorn(
        *masses(costs), costs, entropy, method="sinkhorn_log", numItermax=ITERATIONS, stopThr=1e-8, warn=False
    )


def lp_plan(costs: np.ndarray, labels: np.ndarray, entropy: float, weight: float) -> np.ndarray:
    """The plan [n, m] with weight times the sum over classes and target rows of the root of the mass between them.

    By majorisation: the concave term is replaced by its tangent, ten times. As POT's `sinkhorn_lpl1_mm`, which holds
    c n m numbers at once and may underflow.
    """
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)
    plan = entropic_plan(costs, entropy)
    for _ in range(ROUNDS - 1):
        slopes = 0.5 / np.sqrt(one_hot.T @ plan + SMOOTHING)
        plan = entropic_plan(costs + weight * (one_hot @ slopes), entropy)
    return plan


def group_lasso_plan(costs: np.ndarray, labels: np.ndarray, entropy: float, weight: float) -> np.ndarray:
    """The plan [n, m] with weight times the sum over classes and target rows of the length of the mass between them.

    By generalised conditional gradients: ten times, the convex term is replaced by its
    tangent, and the best plan is taken between the last one and that of the tangent.
    """
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)
    plan = entropic_plan(costs, entropy)
    for _ in range(ROUNDS):
        lengths = np.sqrt(one_hot.T @ plan**2)
        slopes = plan / np.maximum(one_hot @ lengths, np.finfo(float).tiny)
        there = entropic_plan(costs + weight * slopes, entropy)
        plan = best_between(plan, there, lambda p: class_objective(p, costs, one_hot, (entropy, weight)))
    return plan


def class_objective(plan: np.ndarray, costs: np.ndarray, one_hot: np.ndarray, weights: tuple[float, float]) -> float:
    """<P, C> + entropy <P, log P> + weight sum |P_(class, column)| of a plan P [n, m], classes [n, c]."""
    entropy, weight = weights
    lengths = np.sqrt(one_hot.T @ plan**2)
    return float((plan * costs).sum() + entropy * scipy.special.xlogy(plan, plan).sum() + weight * lengths.sum())


def best_between(start: np.ndarray, end: np.ndarray, objective: Callable[[np.ndarray], float]) -> np.ndarray:
    """The point on a segment at which a convex objective is least."""
    step = end - start
    found = scipy.optimize.minimize_scalar(lambda s: objective(start + s * step), bounds=(0.0, 1.0), method="bounded")
    return start + found.x * step
