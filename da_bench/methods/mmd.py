"""Multi-kernel maximum mean discrepancy in a deep network."""

from typing import Literal

import jax.numpy as jnp

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array
from da_bench.losses.mmd import BandwidthRule, Estimator, gaussian_kernel, mmd
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import DISTANCE_WEIGHT


@register(
    expected_failures={"gradient_is_that_of_finite_differences": "the bandwidth carries no gradient"},
    search={"weight": DISTANCE_WEIGHT},
)
class Mmd(Penalty):
    """Deep adaptation network (DAN): squared multi-kernel MMD, summed over the layers that are specific to the task.

    weight: the paper's lambda. layers: what is aligned; the paper aligns every layer above the convolutions, here
    "features" and "logits". estimator: "unbiased" (quadratic time), "biased", or "linear", the paper's choice for large
    batches, "cyclic" in TLlib. bandwidth: the family's centre, "median" of the pooled sample's squared distances (the
    paper) or their "mean" (most suites); it carries no gradient. factors: the family's bandwidths as multiples of the
    centre, the paper's 33: 2^-8 to 2^8 in steps of 2^(1/2), equally weighted.

    References: Long, Cao, Wang and Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015.
    arXiv:1502.02791, Section 3.
    """

    weight: NonNegative = 1.0
    layers: tuple[Literal["features", "logits"], ...] = ("features", "logits")
    estimator: Estimator = "unbiased"
    bandwidth: BandwidthRule = "median"
    factors: tuple[Positive, ...] = tuple(2.0 ** (power / 2) for power in range(-16, 17))

    def loss(self, ctx: LossContext) -> Array:
        """weight * sum over layers of MMD^2."""
        gaps = [self.gap(getattr(ctx.source, name), getattr(ctx.target, name)) for name in self.layers]
        return self.weight * jnp.sum(jnp.stack(gaps))

    def gap(self, source: Array, target: Array) -> Array:
        """Squared MMD between source [n, d] and target [m, d]."""
        kernel = gaussian_kernel(jnp.concatenate([source, target]), self.bandwidth, self.factors)
        return mmd(kernel, source.shape[0], self.estimator)
