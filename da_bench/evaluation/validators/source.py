"""Validators on the labelled source: its accuracy, plain or weighted by how similar a row is to the target.

The weights w are the density ratios `ValidatorInputs.importance_weights`. The loss l of a validation row is its 0-1
error, so that a risk is comparable to 1 - accuracy. Scores are negative risks.
"""

from collections.abc import Callable

import numpy as np

from da_bench.evaluation.validators.base import ValidatorInputs, checkpoint_accuracy, per_checkpoint, register


@register("source validation")
def source_validation(inputs: ValidatorInputs) -> np.ndarray:
    """Accuracy on the validation split of the source.

    Args:
        inputs: inputs of a run; uses `validation_logits` and `validation_labels`.

    Returns:
        Scores [e] in [0, 1].
    """
    return checkpoint_accuracy(inputs.validation_logits, inputs.validation_labels)


@register("importance weighting", "features")
def importance_weighted(inputs: ValidatorInputs) -> np.ndarray:
    """Importance-weighted validation: the negative risk -mean(w l).

    Args:
        inputs: inputs of a run; uses `features`, `validation_logits` and `validation_labels`.

    Returns:
        Scores [e], at most 0.

    References:
        Sugiyama, Krauledat and Mueller, Covariate Shift Adaptation by Importance Weighted Cross Validation, JMLR 2007,
        Eq. 8.
    """
    return _negative_risk(inputs, lambda weights, losses: float(np.mean(weights * losses)))


@register("DEV", "features")
def dev(inputs: ValidatorInputs) -> np.ndarray:
    """Deep embedded validation: the negative importance-weighted risk with the mean weight as a control variate.

    The risk is R = mean(w l) + eta mean(w) - eta with eta = -Cov(w l, w) / Var(w).

    Args:
        inputs: inputs of a run; uses `features`, `validation_logits` and `validation_labels`.

    Returns:
        Scores [e]; -R may lie outside [-1, 0].

    References:
        You, Wang, Long and Jordan, Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation, ICML 2019,
        Algorithm 1.
    """
    return _negative_risk(inputs, dev_risk)


@register("DEVN", "features")
def devn(inputs: ValidatorInputs) -> np.ndarray:
    """DEV with weights divided by the largest one, so that no single row dominates.

    Args:
        inputs: inputs of a run; uses `features`, `validation_logits` and `validation_labels`.

    Returns:
        Scores [e].

    References:
        Musgrave, Belongie and Lim, arXiv:2111.15672, and their library pytorch-adapt.
    """
    return _negative_risk(inputs, lambda weights, losses: dev_risk(weights / weights.max(), losses))


def dev_risk(weights: np.ndarray, losses: np.ndarray) -> float:
    """Risk R of `dev` from weights [v] and losses [v]; eta is 0 if all weights are equal."""
    weighted = weights * losses
    variance = np.var(weights)
    eta = -np.mean((weighted - weighted.mean()) * (weights - weights.mean())) / variance if variance > 0 else 0.0
    return float(weighted.mean() + eta * weights.mean() - eta)


def _negative_risk(inputs: ValidatorInputs, risk: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
    """-risk(w, l) of every checkpoint [e], on the validation rows that have weights."""
    rows = slice(inputs.importance_weights.shape[1])
    losses = np.asarray(inputs.validation_logits)[:, rows].argmax(axis=2) != inputs.validation_labels[rows]
    return per_checkpoint(lambda weights, errors: -risk(weights, errors), inputs.importance_weights, losses)
