"""Deep domain confusion."""

from typing import Literal

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.moments import mean_gap
from da_bench.methods.base import LossContext, Penalty, register


@register
class Ddc(Penalty):
    """Deep domain confusion (DDC): squared distance between the domains' means, the MMD with a linear kernel.

    Args:
        weight: lambda of Eq. 2, >= 0; 0.25 as in the paper's experiments.
        layer: the output to align: "features", as the paper's adaptation layer below the classifier, or "logits".

    References:
        Tzeng, Hoffman, Zhang, Saenko and Darrell, Deep Domain Confusion: Maximizing for Domain Invariance, 2014.
        arXiv:1412.3474, Eq. 1-2.
    """

    weight: NonNegative = 0.25
    layer: Literal["features", "logits"] = "features"

    def loss(self, ctx: LossContext) -> Array:
        """weight * ||mean of source - mean of target||^2."""
        return self.weight * self.discrepancy(ctx.source, ctx.target)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Squared distance between the means of the layer."""
        return mean_gap(getattr(source, self.layer), getattr(target, self.layer))
