"""Minimum class confusion."""

from typing import ClassVar

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Output, Tree
from da_bench.losses.entropy import class_confusion
from da_bench.methods.base import Penalty, register
from da_bench.methods.search_space import LOSS_WEIGHT, Uniform


@register
class Mcc(Penalty):
    """Minimum class confusion (MCC): how much classes share target rows, by predictions at a temperature.

    weight: mu. temperature: T of the softmax, the paper's 2.5 (its code takes 3 for VisDA). The weights of rows, by
    their entropies, carry no gradient, as in the authors' code.

    References: Jin, Wang, Long and Wang, Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020.
    arXiv:1912.03699.
    """

    expected_failed_checks: ClassVar = {
        "gradient_is_that_of_finite_differences": "the weights of the rows carry no gradient",
    }

    # the reality check's
    searched: ClassVar = {"weight": LOSS_WEIGHT, "temperature": Uniform(0.2, 5.0)}

    weight: NonNegative = 1.0
    temperature: Positive = 2.5

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """weight * class confusion of the target."""
        return self.weight * class_confusion(target.logits, self.temperature)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Class confusion of the target."""
        return class_confusion(target.logits, self.temperature)
