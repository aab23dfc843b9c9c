"""Correlation alignment in a deep network."""

from typing import Literal

from da_bench.core.config import NonNegative
from da_bench.core.types import Array
from da_bench.losses.moments import covariance_gap, mean_gap
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import DISTANCE_WEIGHT


@register(search={"weight": DISTANCE_WEIGHT})
class Coral(Penalty):
    """Deep CORAL: squared Frobenius distance between the two covariances, over 4 d^2.

    weight: lambda of Eq. 6; the paper chooses it so that both losses are of one size at the end. layer: what is
    aligned; the paper aligns the last layer's output, "logits"; several suites align the "features". means: the squared
    distance of the means is added, over 4 d; with weight 4 it is the mean squared difference of the covariances'
    entries and of the means' (TLlib, DomainBed, WILDS).

    References: Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.
    arXiv:1607.01719, Eq. 1-3 and 6.
    """

    weight: NonNegative = 1.0
    layer: Literal["logits", "features"] = "logits"
    means: bool = False

    def loss(self, ctx: LossContext) -> Array:
        """weight * (||C_s - C_t||_F^2 / (4 d^2), and of `means` ||mean of source - mean of target||^2 / (4 d))."""
        ours, theirs = getattr(ctx.source, self.layer), getattr(ctx.target, self.layer)
        gap = covariance_gap(ours, theirs)
        if self.means:
            gap += mean_gap(ours, theirs) / (4 * ours.shape[1])
        return self.weight * gap
