"""Batch nuclear-norm maximisation."""

from typing import Literal

import jax

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.spectrum import nuclear_norm
from da_bench.methods.base import LossContext, Penalty, register


@register
class Bnm(Penalty):
    """Batch nuclear-norm maximisation (BNM): target predictions [n, c] that are both confident and diverse.

    Args:
        weight: lambda, >= 0.
        divided_by: divisor of the nuclear norm: the number of "rows" n of the batch (the paper), or the number of
            singular "values", min(n, c) (the authors' code, which is n / min(n, c) times as strong).

    References:
        Cui, Wang, Zhuo, Li, Huang and Tian, Towards Discriminability and Diversity: Batch Nuclear-norm Maximization
        under Label Insufficient Situations, CVPR 2020. arXiv:2003.12237.
    """

    weight: NonNegative = 1.0
    divided_by: Literal["rows", "values"] = "rows"

    def loss(self, ctx: LossContext) -> Array:
        """-weight * (nuclear norm of the softmax of the target logits) / n."""
        return self.weight * self.discrepancy(ctx.source, ctx.target)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Minus the nuclear norm of the target predictions, divided as `divided_by` says."""
        rows, classes = target.logits.shape
        divisor = rows if self.divided_by == "rows" else min(rows, classes)
        return -nuclear_norm(jax.nn.softmax(target.logits)) / divisor
