"""Minimum class confusion."""

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Output
from da_bench.losses.entropy import class_confusion
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import LOSS_WEIGHT, Uniform


@register(
    expected_failures={"gradient_is_that_of_finite_differences": "the weights of the rows carry no gradient"},
    # the reality check's
    search={"weight": LOSS_WEIGHT, "temperature": Uniform(0.2, 5.0)},
)
class Mcc(Penalty):
    """Minimum class confusion (MCC): how much pairs of classes share the predictions of target rows.

    The entropy weights of the rows carry no gradient, as in the authors' code.

    Args:
        weight: mu, >= 0.
        temperature: T > 0 of the softmax; 2.5 as in the paper, whose code has 3 for VisDA.

    References:
        Jin, Wang, Long and Wang, Minimum Class Confusion for Versatile Domain Adaptation, ECCV 2020. arXiv:1912.03699.
    """

    weight: NonNegative = 1.0
    temperature: Positive = 2.5

    def loss(self, ctx: LossContext) -> Array:
        """weight * class confusion of the target."""
        return self.weight * class_confusion(ctx.target.logits, self.temperature)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Class confusion of the target."""
        return class_confusion(target.logits, self.temperature)
