"""Optimal transport: move the source rows onto the target and fit the classifier on the moved rows.

Target rows, also new ones, are classified as they are. Only source rows are moved, and all of them are known when the
transport plan is computed, so the plan never has to be extended to new rows.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.optimize
import scipy.special

from da_bench.classical._linalg import symmetric_power
from da_bench.classical._preprocessing import TrainingRows
from da_bench.classical.base import Alignment, AlignmentMethod
from da_bench.core.config import NonNegative, Positive, UserError
from da_bench.methods import register

SINKHORN_ITERATIONS = 1000  # at most
CLASS_TERM_ITERATIONS = 10  # linearisations of the class term, as in POT
SQRT_SMOOTHING = 1e-3  # added under the square root of the class term, as in POT


@register
class LinearOt(AlignmentMethod):
    """Linear Monge map: the optimal transport between two Gaussians with the moments of the domains.

    Source rows become A (x - mean_s) + mean_t with A = C_s^(-1/2) (C_s^(1/2) C_t C_s^(1/2))^(1/2) C_s^(-1/2). Costs
    O(d^3).

    Args:
        ridge: number added to the diagonal of both covariances, as a fraction of the mean variance of the target's
            columns, positive.
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately; "none" by default, because the map aligns means and
            covariances itself.
        classifier: "1nn" or "logistic".

    References:
        Flamary, Lounici and Ferrari, Concentration bounds for linear Monge mapping estimation and optimal transport
        domain adaptation, 2019. arXiv:1905.10155.
    """

    ridge: Positive = 1e-3
    scaling: Literal["each", "none"] = "none"

    def align(self, rows: TrainingRows) -> Alignment:
        """Move the source rows onto the target [n, d]; target rows are unchanged."""
        mean, variance = rows.source.mean(axis=0), rows.target.var(axis=0).mean()
        matrix = monge_matrix(rows.source, rows.target, self.ridge * (variance if variance > 0 else 1.0))
        return Alignment((rows.source - mean) @ matrix + rows.target.mean(axis=0), _identity)


def monge_matrix(source: np.ndarray, target: np.ndarray, ridge: float) -> np.ndarray:
    """Symmetric A [d, d] with A C_s A = C_t, for the covariances of source [n, d] and target [m, d] plus ridge I."""
    source_cov, target_cov = (np.cov(x, rowvar=False, bias=True) + ridge * np.eye(x.shape[1]) for x in (source, target))
    root, inverse = symmetric_power(source_cov, 0.5), symmetric_power(source_cov, -0.5)
    return inverse @ symmetric_power(root @ target_cov @ root, 0.5) @ inverse


@register
class EmdOt(AlignmentMethod):
    """Exact optimal transport: each source row moves to the mean of the target rows that receive its mass.

    The cost is the squared distance, and all rows have equal mass. Costs O(n m) memory and at worst about O((n + m)^3)
    time: seconds for 1000 rows of each domain, minutes for 5000. Needs POT.

    Args:
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately; "none" as in the paper.
        classifier: "1nn" as in the paper, or "logistic".

    References:
        Courty, Flamary, Tuia and Rakotomamonjy, Optimal Transport for Domain Adaptation, TPAMI 2017. arXiv:1507.00504.
    """

    scaling: Literal["each", "none"] = "none"

    def align(self, rows: TrainingRows) -> Alignment:
        """Move the source rows onto the target [n, d]; target rows are unchanged."""
        return Alignment(barycentric_map(exact_plan(cost_matrix(rows.source, rows.target)), rows.target), _identity)


@register
class SinkhornOt(AlignmentMethod):
    """Entropic optimal transport, optionally with a penalty on plans that send two classes to one target row.

    Costs O(n m) memory, and as much time for each of at most 1000 iterations, times 10 with a class term. Needs POT.

    Args:
        entropy: weight of the entropy (the paper's lambda), positive; the cost is divided by its largest entry.
        classes: class term: "none" (the paper's OT-IT), "group_lasso" (OT-GL), or "lp" (OT-LAB, the concave sum of
            square roots of Courty et al., ECML 2014).
        class_weight: weight of the class term (the paper's eta), non-negative; not used by "none".
        normalise: norm by which each row is divided first: "l1", "l2" or "none".
        scaling: "each" standardises each domain separately; "none" as in the paper, which finds both weights by
            cross-validation.
        classifier: "1nn" as in the paper, or "logistic".

    References:
        Courty, Flamary, Tuia and Rakotomamonjy, Optimal Transport for Domain Adaptation, TPAMI 2017. arXiv:1507.00504.
    """

    entropy: Positive = 0.01
    classes: Literal["none", "group_lasso", "lp"] = "none"
    class_weight: NonNegative = 0.1
    scaling: Literal["each", "none"] = "none"

    def align(self, rows: TrainingRows) -> Alignment:
        """Move the source rows onto the target [n, d]; target rows are unchanged."""
        costs = cost_matrix(rows.source, rows.target)
        if self.classes == "none":
            plan = entropic_plan(costs, self.entropy)
        elif self.classes == "lp":
            plan = lp_plan(costs, rows.labels, self.entropy, self.class_weight)
        else:
            plan = group_lasso_plan(costs, rows.labels, self.entropy, self.class_weight)
        return Alignment(barycentric_map(plan, rows.target), _identity)


def cost_matrix(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Squared distances [n, m] of rows [n, d] and [m, d], divided by the largest to suit the solvers' tolerances."""
    from scipy.spatial.distance import cdist

    distances = cdist(source, target, "sqeuclidean")
    return distances / max(distances.max(), np.finfo(float).tiny)


def barycentric_map(plan: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean of the target rows [m, d] that receive the mass of each source row by the plan [n, m]: [n, d]."""
    return plan @ target / plan.sum(axis=1, keepdims=True)


def exact_plan(costs: np.ndarray) -> np.ndarray:
    """Plan [n, m] of minimal cost, for costs [n, m], by network simplex."""
    return _import_pot().emd(*_uniform_masses(costs), costs, numItermax=100 * costs.size)


def entropic_plan(costs: np.ndarray, entropy: float) -> np.ndarray:
    """Plan [n, m] of minimal cost minus entropy, by Sinkhorn's algorithm on logarithms, which do not underflow.

    Args:
        costs: costs [n, m].
        entropy: weight of the entropy, positive.

    Returns:
        The plan.
    """
    return _import_pot().sinkhorn(
        *_uniform_masses(costs),
        costs,
        entropy,
        method="sinkhorn_log",
        numItermax=SINKHORN_ITERATIONS,
        stopThr=1e-8,
        warn=False,
    )


def lp_plan(costs: np.ndarray, labels: np.ndarray, entropy: float, weight: float) -> np.ndarray:
    """Entropic plan with a penalty on the sum over classes and target rows of the root of the mass between them.

    Solved by majorisation: the concave term is replaced by its tangent `CLASS_TERM_ITERATIONS` times. POT's
    `sinkhorn_lpl1_mm` does the same, but stores c n m numbers at once and may underflow.

    Args:
        costs: costs [n, m].
        labels: labels of the source [n].
        entropy: weight of the entropy, positive.
        weight: weight of the class term, non-negative.

    Returns:
        The plan [n, m].
    """
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)
    plan = entropic_plan(costs, entropy)
    for _ in range(CLASS_TERM_ITERATIONS - 1):
        slopes = 0.5 / np.sqrt(one_hot.T @ plan + SQRT_SMOOTHING)
        plan = entropic_plan(costs + weight * (one_hot @ slopes), entropy)
    return plan


def group_lasso_plan(costs: np.ndarray, labels: np.ndarray, entropy: float, weight: float) -> np.ndarray:
    """Entropic plan with a penalty on the sum over classes and target rows of the l2 norm of the mass between them.

    Solved by the generalised conditional gradient method: `CLASS_TERM_ITERATIONS` times, the convex term is replaced by
    its tangent, and the best plan is chosen on the segment between the last plan and that of the tangent.

    Args:
        costs: costs [n, m].
        labels: labels of the source [n].
        entropy: weight of the entropy, positive.
        weight: weight of the class term, non-negative.

    Returns:
        The plan [n, m].
    """
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)
    plan = entropic_plan(costs, entropy)
    for _ in range(CLASS_TERM_ITERATIONS):
        norms = np.sqrt(one_hot.T @ plan**2)
        slopes = plan / np.maximum(one_hot @ norms, np.finfo(float).tiny)
        plan = _minimise_on_segment(
            plan,
            entropic_plan(costs + weight * slopes, entropy),
            lambda p: group_lasso_objective(p, costs, one_hot, (entropy, weight)),
        )
    return plan


def group_lasso_objective(
    plan: np.ndarray, costs: np.ndarray, one_hot: np.ndarray, weights: tuple[float, float]
) -> float:
    """<P, C> + entropy <P, log P> + weight sum over classes and target rows of |P_(class, row)|.

    Args:
        plan: plan P [n, m].
        costs: costs C [n, m].
        one_hot: one-hot labels of the source [n, c].
        weights: (entropy, weight).

    Returns:
        The objective that `group_lasso_plan` minimises.
    """
    entropy, weight = weights
    norms = np.sqrt(one_hot.T @ plan**2)
    return float((plan * costs).sum() + entropy * scipy.special.xlogy(plan, plan).sum() + weight * norms.sum())


def _minimise_on_segment(start: np.ndarray, end: np.ndarray, objective: Callable[[np.ndarray], float]) -> np.ndarray:
    """Point between two plans at which a convex objective is smallest."""
    step = end - start
    search = scipy.optimize.minimize_scalar(lambda s: objective(start + s * step), bounds=(0.0, 1.0), method="bounded")
    return start + search.x * step


def _uniform_masses(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masses of the rows of both domains: 1 / n [n] and 1 / m [m]."""
    n, m = costs.shape
    return np.full(n, 1 / n), np.full(m, 1 / m)


def _identity(rows: np.ndarray) -> np.ndarray:
    return rows


def _import_pot() -> Any:
    """The POT library; UserError if it is not installed."""
    try:
        import ot
    except ImportError as error:
        raise UserError('emd_ot and sinkhorn_ot need POT; install it with pip install "da-bench[ot]"') from error
    return ot
