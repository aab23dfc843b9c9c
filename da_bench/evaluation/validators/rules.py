"""Selection rules: the last step, every validator, and the oracle that cheats."""

import numpy as np

from da_bench.evaluation.validators.base import VALIDATORS, Evidence

LAST, ORACLE = "last", "oracle"


def titles() -> dict[str, str]:
    """Rule -> how tables call it."""
    return {LAST: "last step", **{name: one.title for name, one in VALIDATORS.items()}, ORACLE: "oracle"}


def checkpoints(scores: dict[str, np.ndarray], target_accuracy: np.ndarray) -> dict[str, int]:
    """The evaluation that each rule reports, by the validators' scores [e]; `target_accuracy` [e] is the oracle's.

    Of equal scores the latest wins. Scores that are not finite lose to any that are.
    """
    by_score = {name: latest_best(values) for name, values in scores.items()}
    return {LAST: len(target_accuracy) - 1, **by_score, ORACLE: latest_best(target_accuracy)}


def scores(evidence: Evidence) -> dict[str, np.ndarray]:
    """What every validator says of the checkpoints, [e], that has what it needs."""
    return {
        name: one.score(evidence)
        for name, one in VALIDATORS.items()
        if all(getattr(evidence, field) is not None for field in one.needs)
    }


def latest_best(values: np.ndarray) -> int:
    """Index of the last occurrence of the largest finite value."""
    values = np.where(np.isfinite(values), values, -np.inf)
    return int(len(values) - 1 - np.argmax(values[::-1]))
