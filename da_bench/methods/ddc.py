"""Deep domain confusion."""

from typing import Literal

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.moments import mean_gap
from da_bench.methods.base import LossContext, Penalty, register


@register
class Ddc(Penalty):
    """Deep domain confusion (DDC): squared distance between the domains' means, the MMD of a linear kernel.

    weight: lambda of Eq. 2, 0.25 in the paper's experiments. layer: what is aligned; the paper aligns an adaptation
    layer below the classifier, "features".

    References: Tzeng, Hoffman, Zhang, Saenko and Darrell, Deep Domain Confusion: Maximizing for Domain Invariance,
    2014. arXiv:1412.3474, Eq. 1-2.
    """

    weight: NonNegative = 0.25
    layer: Literal["features", "logits"] = "features"

    def loss(self, ctx: LossContext) -> Array:
        """weight * ||mean of source - mean of target||^2."""
        return self.weight * mean_gap(getattr(ctx.source, self.layer), getattr(ctx.target, self.layer))

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The distance itself."""
        return mean_gap(getattr(source, self.layer), getattr(target, self.layer))
