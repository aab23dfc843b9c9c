"""Reverse validation by training anew: does what a learner taught the target lead back to the source?

The learner of a run, trained on the labelled source and the target's inputs, labels the target, as it was when source
validation stopped it early. A reverse learner, of the same method and setting, is trained on the target with those
labels and on the source's inputs; a network starts from where the first one stopped, and what is a method's own, as a
domain classifier is, anew. It stops early by the held-out rows of the target and their labels of the same making. How
well it knows the held-out rows of the source is the score of the setting: `select.reverse_validation`.

Of the target there are `Unlabelled` inputs here, so no label of it can take part.

References: Zhong, Fan, Yang, Verscheure and Ren, Cross Validation Framework to Choose amongst Models and Datasets for
Transfer Learning, ECML PKDD 2010; Ganin et al., JMLR 2016, Section 5.1.2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.types import Array, Domain, Splits
from da_bench.evaluation.validators import checkpoint_accuracy, last_argmax


class Unlabelled(NamedTuple):
    """Of a domain what trains and what is held out: inputs [n, ...] and [v, ...], or classes of them [n] and [v]."""

    train: Any
    validation: Any


def unlabelled(domain: Splits) -> Unlabelled:
    """The inputs of a domain."""
    return Unlabelled(domain.train.inputs, domain.validation.inputs)


def guessed(predict: Callable[[np.ndarray], Array], target: Unlabelled) -> Unlabelled:
    """The target's classes, int32, by a function of inputs [n, ...] to logits [n, c]."""
    return Unlabelled(*(np.asarray(predict(np.asarray(one))).argmax(axis=1).astype(np.int32) for one in target))


def turned(source: Splits, target: Unlabelled, classes: Unlabelled) -> tuple[Splits, Splits]:
    """What a reverse learner is given, as (source, target): the target with guessed classes, and the source.

    What is held out is its test, too; nothing else is scored.
    """
    taught, held_out = (Domain(inputs, labels) for inputs, labels in zip(target, classes, strict=True))
    return Splits(taught, held_out, held_out), Splits(source.train, source.validation, source.validation)


def stopped(logits: Array, labels: Array) -> int:
    """The evaluation at which early stopping takes a learner, by logits [e, v, c] of held-out rows and labels [v]."""
    return last_argmax(checkpoint_accuracy(logits, labels))


def answers(logits: Array, evaluation: int, evaluations: int) -> np.ndarray:
    """`reverse_predictions` [e, v] of `ValidatorInputs`: classes of logits [v, c] at one evaluation, NaN elsewhere."""
    found = np.full((evaluations, len(logits)), np.nan)
    if np.isfinite(logits).all():
        found[evaluation] = np.asarray(logits).argmax(axis=1)
    return found
