"""Source validation, each row weighed by how much like the target it looks: importance weighting, DEV and DEVN.

The weights w are those of `Evidence.weights`. The loss l of a validation row is its 0-1 error, so risks compare with
1 - accuracy; scores are minus the risk.
"""

from collections.abc import Callable

import numpy as np

from da_bench.evaluation.validators.base import Evidence, each, register


@register("importance weighting", "features")
def importance_weighted(evidence: Evidence) -> np.ndarray:
    """Minus the mean of w l: importance-weighted validation.

    References: Sugiyama, Krauledat and Mueller, Covariate Shift Adaptation by Importance Weighted Cross Validation,
    JMLR 2007, Eq. 8.
    """
    return _scored(evidence, lambda weights, wrong: float(np.mean(weights * wrong)))


@register("DEV", "features")
def dev(evidence: Evidence) -> np.ndarray:
    """Deep embedded validation: minus the importance-weighted risk with the weights' mean as a control variate.

    R = mean(w l) + eta mean(w) - eta, eta = -Cov(w l, w) / Var(w). It may lie outside [0, 1].

    References: You, Wang, Long and Jordan, Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation,
    ICML 2019, Algorithm 1.
    """
    return _scored(evidence, dev_risk)


@register("DEVN", "features")
def devn(evidence: Evidence) -> np.ndarray:
    """DEV with weights over their largest, so that no single row rules it.

    References: Musgrave, Belongie and Lim, arXiv:2111.15672, and their library pytorch-adapt.
    """
    return _scored(evidence, lambda weights, wrong: dev_risk(weights / weights.max(), wrong))


def dev_risk(weights: np.ndarray, wrong: np.ndarray) -> float:
    """R of `dev` from weights [v] and losses [v]; where all weights are equal, eta is 0."""
    weighted = weights * wrong
    spread = np.var(weights)
    eta = -np.mean((weighted - weighted.mean()) * (weights - weights.mean())) / spread if spread > 0 else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


def _scored(evidence: Evidence, risk: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    rows = slice(evidence.weights.shape[1])
    wrong = np.asarray(evidence.validation_logits)[:, rows].argmax(axis=2) != evidence.validation_labels[rows]
    return each(lambda one, losses: -risk(one, losses), evidence.weights, wrong)
