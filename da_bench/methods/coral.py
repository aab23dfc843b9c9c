"""Correlation alignment in a deep network."""

from typing import Literal

from da_bench.core.config import NonNegative
from da_bench.core.types import Array
from da_bench.losses.moments import covariance_gap, mean_gap
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import DISTANCE_WEIGHT


@register(search={"weight": DISTANCE_WEIGHT})
class Coral(Penalty):
    """Deep CORAL: squared Frobenius distance between the covariances of the two domains, ||C_s - C_t||_F^2 / (4 d^2).

    Args:
        weight: lambda of Eq. 6, >= 0. The paper chooses it so that both losses are of similar size at the end.
        layer: the output to align: "logits", the last layer, as in the paper, or "features", as in several suites.
        means: whether to add ||mean_s - mean_t||^2 / (4 d). With weight 4, the term is then the mean squared difference
            of the entries of the covariances plus that of the means (TLlib, DomainBed, WILDS).

    References:
        Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.
        arXiv:1607.01719, Eq. 1-3 and 6.
    """

    weight: NonNegative = 1.0
    layer: Literal["logits", "features"] = "logits"
    means: bool = False

    def loss(self, ctx: LossContext) -> Array:
        """weight * (distance of the covariances + distance of the means, if `means`)."""
        source, target = getattr(ctx.source, self.layer), getattr(ctx.target, self.layer)
        gap = covariance_gap(source, target)
        if self.means:
            gap += mean_gap(source, target) / (4 * source.shape[1])
        return self.weight * gap
