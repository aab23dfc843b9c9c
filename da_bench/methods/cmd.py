"""Central moment discrepancy."""

from da_bench.core.config import Count, NonNegative, Positive
from da_bench.core.types import Array
from da_bench.losses.moments import central_moment_gap
from da_bench.methods.base import LossContext, Penalty, register


@register
class Cmd(Penalty):
    """Central moment discrepancy (CMD): distances between the means and between each dimension's central moments.

    weight: lambda, the paper's 1. moments: K, how many are matched. interval: |b - a|, the length of the interval that
    features lie in, by whose k-th power the k-th distance is divided; 1 for sigmoid units, 2 for tanh; for unbounded
    units the paper has none, and a length near their range keeps high moments in check.

    References: Zellinger, Grubinger, Lughofer, Natschlaeger and Saminger-Platz, Central Moment Discrepancy (CMD) for
    Domain-Invariant Representation Learning, ICLR 2017. arXiv:1702.08811.
    """

    weight: NonNegative = 1.0
    moments: Count = 5
    interval: Positive = 1.0

    def loss(self, ctx: LossContext) -> Array:
        """weight * CMD_K of the features."""
        return self.weight * central_moment_gap(ctx.source.features, ctx.target.features, self.moments, self.interval)
