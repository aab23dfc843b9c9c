"""Which checkpoint is reported: label-free validators, the last step, and the oracle that cheats.

Many published numbers pick the checkpoint by target accuracy. Here a rule is declared and named, and every table
shows `last`, the label-free rules and `oracle` side by side.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from da_bench.settings import Registry
from da_bench.types import Array

FLOOR = 0.05  # how far below its best source-validation accuracy a checkpoint may lie and still be chosen by `im`


class Evidence(NamedTuple):
    """What a validator may see of `e` checkpoints: no target label is in it.

    validation_logits [e, v, c], validation_labels [v]: held-out labelled source; target_logits [e, u, c]: held-out
    target inputs.
    """

    validation_logits: Array
    validation_labels: Array
    target_logits: Array


class Validator(NamedTuple):
    """title: how tables call it; score: evidence -> [e], of which the highest is chosen."""

    title: str
    score: Callable[[Evidence], np.ndarray]


VALIDATORS: Registry[Validator] = Registry("validator")


def register(title: str) -> Callable[[Callable[[Evidence], np.ndarray]], Callable[[Evidence], np.ndarray]]:
    """Make a scoring function a selection rule, known by its function name and called `title` in tables."""

    def known(score: Callable[[Evidence], np.ndarray]) -> Callable[[Evidence], np.ndarray]:
        VALIDATORS.add(score.__name__, Validator(title, score))
        return score

    return known


@register("IM + source-val floor")
def im(evidence: Evidence) -> np.ndarray:
    """Information maximisation: H(mean p) - mean H(p) of the target predictions p, in nats, with a source floor.

    A checkpoint whose source-validation accuracy lies more than FLOOR under the best scores -inf: the tail of
    collapsed checkpoints that are confident, diverse and wrong is where label-free selection does its harm.

    References: Krause, Perona and Gomes, Discriminative Clustering by Regularized Information Maximization, NIPS 2010;
    as a validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    p = softmax(np.asarray(evidence.target_logits, np.float64))
    information = entropy(p.mean(axis=1)) - entropy(p).mean(axis=1)
    validation = source_validation(evidence)
    return np.where(validation >= validation.max() - FLOOR, information, -np.inf)


@register("source validation")
def source_validation(evidence: Evidence) -> np.ndarray:
    """Accuracy on the held-out labelled source, in [0, 1]."""
    return (np.asarray(evidence.validation_logits).argmax(axis=2) == evidence.validation_labels).mean(axis=1)


LAST, ORACLE = "last", "oracle"
RULES = {LAST: "last step", **{name: one.title for name, one in VALIDATORS.items()}, ORACLE: "oracle"}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis; 0 log 0 = 0."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def checkpoints(evidence: Evidence, target_accuracy: np.ndarray) -> dict[str, int]:
    """The evaluation that each rule reports; `target_accuracy` [e] is for the oracle alone.

    Of equal scores the latest wins. Scores that are not finite lose to any that are.
    """
    by_score = {name: latest_best(validator.score(evidence)) for name, validator in VALIDATORS.items()}
    return {LAST: len(target_accuracy) - 1, **by_score, ORACLE: latest_best(target_accuracy)}


def latest_best(values: np.ndarray) -> int:
    """Index of the last occurrence of the largest finite value."""
    values = np.where(np.isfinite(values), values, -np.inf)
    return int(len(values) - 1 - np.argmax(values[::-1]))
