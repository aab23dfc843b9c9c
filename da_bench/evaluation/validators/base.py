"""The inputs of validators, their registry, and functions that several of them use."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.special

from da_bench.core.config import Registry
from da_bench.core.types import Array
from da_bench.evaluation.validators.density_ratio import density_ratio

MAX_ROWS = 300  # rows of each array whose features are kept; bounds the memory of a run and the time of pairwise scores


class CheckpointFeatures(NamedTuple):
    """Features of a run at e checkpoints, of at most `MAX_ROWS` rows of each split; the rows are in random order.

    Attributes:
        train: features of the labelled training split [e, t, d].
        validation: features of the labelled validation split of the source [e, v', d], its first v' rows.
        target: features of the validation split of the target [e, u', d], its first u' rows.
    """

    train: Array
    validation: Array
    target: Array


@dataclasses.dataclass(frozen=True, eq=False)
class ValidatorInputs:
    """What a validator may use to score the e checkpoints of a run. No target label is among it.

    Attributes:
        validation_logits: logits on the validation split of the source [e, v, c].
        validation_labels: labels of that split [v].
        target_logits: logits on the validation split of the target [e, u, c].
        mixed_logits: logits on mixtures of the first k rows of that split [e, k, c], see `mixval`; None if there are
            none.
        features: features at the checkpoints; None if they were not kept.
        reverse_predictions: classes that the reverse model predicts on the validation split of the source [e, v], see
            `reverse_validation`; NaN for checkpoints without a reverse model, None if there is none at all.
    """

    validation_logits: Array
    validation_labels: Array
    target_logits: Array
    mixed_logits: Array | None = None
    features: CheckpointFeatures | None = None
    reverse_predictions: Array | None = None

    @functools.cached_property
    def finite_checkpoints(self) -> np.ndarray:
        """Whether all logits of a checkpoint are finite [e]."""
        pairs = zip(self.validation_logits, self.target_logits, strict=True)
        return np.array([_all_finite(*pair) for pair in pairs])

    def require_features(self) -> CheckpointFeatures:
        """The features, for a validator that is registered with "features"."""
        assert self.features is not None
        return self.features

    def target_features_and_logits(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of the target [e, u', d] and the logits of the same rows [e, u', c]."""
        features = self.require_features().target
        return np.asarray(features), np.asarray(self.target_logits)[:, : np.shape(features)[1]]

    @functools.cached_property
    def importance_weights(self) -> np.ndarray:
        """Density ratios p_target / p_source of the first v' validation rows [e, v'], cached for several validators.

        NaN for a checkpoint with a feature that is not finite.
        """
        train, validation, target = self.require_features()
        weights = np.full(np.shape(validation)[:2], np.nan)
        for i, features in enumerate(zip(train, target, validation, strict=True)):
            if _all_finite(*features):
                weights[i] = density_ratio(*features)
        return weights


Score = Callable[[ValidatorInputs], np.ndarray]


class Validator(NamedTuple):
    """A label-free selection rule.

    Attributes:
        title: name in tables.
        score: function from the inputs of a run to a score for each checkpoint [e]; the highest is selected.
        needs: optional fields of `ValidatorInputs` that the score requires.
    """

    title: str
    score: Score
    needs: tuple[str, ...] = ()


VALIDATORS: Registry[Validator] = Registry("validator")


def register(title: str, *needs: str) -> Callable[[Score], Score]:
    """Decorator that makes a scoring function a selection rule named like the function.

    A checkpoint with a logit that is not finite scores NaN, so it is not selected while another one is finite.

    Args:
        title: name in tables.
        *needs: optional fields of `ValidatorInputs` that the score requires: "features", "mixed_logits" or
            "reverse_predictions".

    Returns:
        The decorator; it returns the function unchanged.
    """

    def decorate(score: Score) -> Score:
        @functools.wraps(score)
        def finite_score(inputs: ValidatorInputs) -> np.ndarray:
            return np.where(inputs.finite_checkpoints, score(inputs), np.nan)

        VALIDATORS.add(score.__name__, Validator(title, finite_score, needs))
        return score

    return decorate


def per_checkpoint(score: Callable[..., float], *arrays: Array) -> np.ndarray:
    """Score of every checkpoint [e]: `score(array[i], ...)`, or NaN if one of these is not finite.

    Args:
        score: function of one slice of each array.
        *arrays: arrays with one slice for each checkpoint [e, ...].

    Returns:
        The scores.
    """
    slices = zip(*arrays, strict=True)
    return np.array([score(*checkpoint) if _all_finite(*checkpoint) else np.nan for checkpoint in slices], np.float64)


def checkpoint_accuracy(logits: Array, labels: Array) -> np.ndarray:
    """Accuracy in [0, 1] at every checkpoint [e], for logits [e, n, c] and labels [n]; NaN if a logit is not finite."""
    return per_checkpoint(lambda rows: float((rows.argmax(axis=1) == labels).mean()), np.asarray(logits))


def target_probabilities(inputs: ValidatorInputs) -> np.ndarray:
    """Predicted probabilities of the target [e, u, c]; NaN in a row with a logit that is not finite."""
    with np.errstate(invalid="ignore"):
        return scipy.special.softmax(np.asarray(inputs.target_logits, np.float64), axis=-1)


def entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in nats over the last axis, with 0 log 0 = 0."""
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)


def _all_finite(*arrays: Array) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)
