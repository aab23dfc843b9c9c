"""What a validator is given, and what it is: a label-free score of every checkpoint."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from da_bench.core.config import Registry
from da_bench.core.types import Array
from da_bench.evaluation.validators.ratio import density_ratio

ROWS = 300  # of each probe, at most, that validators compare in pairs: bounds the memory of runs and their own time


class Features(NamedTuple):
    """Features at `e` checkpoints of the first ROWS rows, at most, of what a run holds; rows are in random order.

    train [e, t, d]: labelled training rows; validation [e, v', d]: held-out labelled source; target [e, u', d]:
    held-out target inputs.
    """

    train: Array
    validation: Array
    target: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a validator may see of `e` checkpoints: no target label is in it.

    validation_logits [e, v, c], validation_labels [v]: held-out labelled source; target_logits [e, u, c]: held-out
    target inputs; mixed_logits [e, k, c]: of the first k of these, each mixed with the next, see `mixval`; features:
    None where none were kept; reversed [e, v]: classes of the held-out source by the reverse learner, see
    `reverse_validation`, NaN of a checkpoint that none was made of.
    """

    validation_logits: Array
    validation_labels: Array
    target_logits: Array
    mixed_logits: Array | None = None
    features: Features | None = None
    reversed: Array | None = None

    @functools.cached_property
    def healthy(self) -> np.ndarray:
        """Whether all logits of a checkpoint are finite: [e] bool."""
        return np.array(
            [all(map(_finite, one)) for one in zip(self.validation_logits, self.target_logits, strict=True)]
        )

    @property
    def seen(self) -> Features:
        """The features, for a validator that needs them."""
        assert self.features is not None
        return self.features

    @property
    def watched_logits(self) -> np.ndarray:
        """Of the target rows whose features there are: [e, u', c]."""
        return np.asarray(self.target_logits)[:, : np.shape(self.seen.target)[1]]

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Density ratios p_target / p_source at the validation rows whose features there are: [e, v'].

        NaN of a checkpoint with a feature that is not finite. Found once, for several validators use it.
        """
        train, validation, target = self.seen
        found = np.full(np.shape(validation)[:2], np.nan)
        for i, rows in enumerate(zip(train, target, validation, strict=True)):
            if all(map(_finite, rows)):
                found[i] = density_ratio(*rows)
        return found


Score = Callable[[Evidence], np.ndarray]


class Validator(NamedTuple):
    """title: how tables call it; score: evidence -> [e], of which the highest is chosen; needs: fields of the evidence
    without which there is no score.
    """

    title: str
    score: Score
    needs: tuple[str, ...] = ()


VALIDATORS: Registry[Validator] = Registry("validator")


def register(title: str, *needs: str) -> Callable[[Score], Score]:
    """Make a scoring function a selection rule, known by its function name and called `title` in tables.

    needs: "features", "mixed_logits", "reversed": what not every run leaves. A checkpoint whose evidence is not finite
    scores NaN, and is never chosen where another is not.
    """

    def known(score: Score) -> Score:
        def of_healthy(evidence: Evidence) -> np.ndarray:
            return np.where(evidence.healthy, score(evidence), np.nan)

        VALIDATORS.add(score.__name__, Validator(title, functools.update_wrapper(of_healthy, score), needs))
        return score

    return known


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis; 0 log 0 = 0."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def source_accuracy(evidence: Evidence) -> np.ndarray:
    """On the held-out labelled source, in [0, 1]: [e]."""
    return accuracies(evidence.validation_logits, evidence.validation_labels)


def accuracies(logits: Array, labels: Array) -> np.ndarray:
    """Accuracy in [0, 1] of logits [e, v, c] at labels [v]: [e]; NaN where a logit is not finite."""
    return each(lambda one: float((one.argmax(axis=1) == labels).mean()), np.asarray(logits))


def target_probabilities(evidence: Evidence) -> np.ndarray:
    """Of the held-out target inputs, [e, u, c]; NaN of a row with a logit that is not finite."""
    with np.errstate(invalid="ignore"):
        return softmax(np.asarray(evidence.target_logits, np.float64))


def each(score: Callable[..., float], *arrays: Array) -> np.ndarray:
    """[e] of score(array[i], ...) for arrays [e, ...]; NaN where one is not finite."""
    found = [score(*one) if all(map(_finite, one)) else np.nan for one in zip(*arrays, strict=True)]
    return np.array(found, np.float64)


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())
