"""Minimum discrepancy estimation."""

import jax.numpy as jnp

from da_bench.core.config import NonNegative
from da_bench.core.types import Array
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.mmd import gaussian_kernel, mmd
from da_bench.losses.moments import covariance_gap
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import LOSS_WEIGHT


@register(
    expected_failures={"gradient_is_that_of_finite_differences": "the bandwidth carries no gradient"},
    # not published: the three terms, each by its own weight
    search=dict.fromkeys(("mmd_weight", "coral_weight", "entropy_weight"), LOSS_WEIGHT),
)
class Mmda(Penalty):
    """Minimum discrepancy estimation (MMDA): MMD and CORAL of the features, and the entropy of target predictions.

    Args:
        weight: of all three terms together, >= 0.
        mmd_weight: of the squared MMD, >= 0 (biased; the mean of five Gaussians around the mean squared distance).
        coral_weight: of Deep CORAL's distance, >= 0.
        entropy_weight: of the conditional entropy of the target predictions, >= 0: of the softmax of the logits. (One
            well-known suite takes the softmax of the features.)

    References:
        Rahman, Fookes, Baktashmotlagh and Sridharan, On Minimum Discrepancy Estimation for Deep Domain Adaptation,
        2019. arXiv:1901.00282. The entropy as in Ragab et al., AdaTime, TKDD 2023. arXiv:2203.08321.
    """

    weight: NonNegative = 1.0
    mmd_weight: NonNegative = 1.0
    coral_weight: NonNegative = 1.0
    entropy_weight: NonNegative = 0.1

    def loss(self, ctx: LossContext) -> Array:
        """weight * (MMD^2 + CORAL + H(Y|X) of the target, each times its own weight)."""
        pooled = jnp.concatenate([ctx.source.features, ctx.target.features])
        kernel = gaussian_kernel(pooled, "mean", (0.25, 0.5, 1.0, 2.0, 4.0))
        gap = self.mmd_weight * mmd(kernel, ctx.source.features.shape[0], "biased")
        gap += self.coral_weight * covariance_gap(ctx.source.features, ctx.target.features)
        return self.weight * (gap + self.entropy_weight * conditional_entropy(ctx.target.logits))
