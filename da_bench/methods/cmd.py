"""Central moment discrepancy."""

from da_bench.core.config import Count, NonNegative, Positive
from da_bench.core.types import Array
from da_bench.losses.moments import central_moment_gap
from da_bench.methods.base import LossContext, Penalty, register


@register
class Cmd(Penalty):
    """Central moment discrepancy (CMD): distances between the domains' means and central moments of each feature.

    Args:
        weight: lambda, >= 0; 1 as in the paper.
        moments: K >= 1, the highest order that is matched; 5 as in the paper.
        interval: |b - a| > 0, the length of the interval that the features lie in; the k-th distance is divided by its
            k-th power. 1 for sigmoid units, 2 for tanh. For unbounded units the paper gives none; a length near their
            range keeps high moments from dominating.

    References:
        Zellinger, Grubinger, Lughofer, Natschlaeger and Saminger-Platz, Central Moment Discrepancy (CMD) for
        Domain-Invariant Representation Learning, ICLR 2017. arXiv:1702.08811.
    """

    weight: NonNegative = 1.0
    moments: Count = 5
    interval: Positive = 1.0

    def loss(self, ctx: LossContext) -> Array:
        """weight * CMD_K of the features."""
        return self.weight * central_moment_gap(ctx.source.features, ctx.target.features, self.moments, self.interval)
