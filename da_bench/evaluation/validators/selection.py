"""Selection rules: apply every validator, and choose a checkpoint by each rule."""

import numpy as np

from da_bench.evaluation.validators.base import VALIDATORS, ValidatorInputs

LAST, ORACLE = "last", "oracle"  # the last step, and the best target accuracy: a bound, not a rule one could use


def score_checkpoints(inputs: ValidatorInputs) -> dict[str, np.ndarray]:
    """Scores [e] of the checkpoints by every validator whose inputs are present.

    Args:
        inputs: inputs of a run.

    Returns:
        The scores by validator.
    """
    return {
        name: validator.score(inputs)
        for name, validator in VALIDATORS.items()
        if all(getattr(inputs, field) is not None for field in validator.needs)
    }


def select_checkpoints(scores: dict[str, np.ndarray], target_accuracy: np.ndarray) -> dict[str, int]:
    """Index of the evaluation that each rule selects. Of equal scores the latest wins.

    Args:
        scores: scores [e] by validator; those that are not finite lose to any that are.
        target_accuracy: target accuracy in [0, 1] at every evaluation [e], which only the oracle uses.

    Returns:
        The index in 0..e-1 by rule: the last step, every validator in `scores`, the oracle.
    """
    by_validator = {name: last_argmax(values) for name, values in scores.items()}
    return {LAST: len(target_accuracy) - 1, **by_validator, ORACLE: last_argmax(target_accuracy)}


def last_argmax(values: np.ndarray) -> int:
    """Index of the last occurrence of the largest finite value; of all values if none is finite."""
    values = np.where(np.isfinite(values), values, -np.inf)
    return int(len(values) - 1 - np.argmax(values[::-1]))
