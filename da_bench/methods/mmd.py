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
    """Deep adaptation network (DAN): squared multi-kernel MMD, summed over the task-specific layers.

    Args:
        weight: lambda, >= 0.
        layers: outputs to align. The paper aligns every layer above the convolutions; here "features" and "logits".
        estimator: "unbiased" or "biased", in quadratic time; "linear", in linear time, as in the paper for large
            batches; "cyclic", TLlib's variant of it.
        bandwidth: centre of the kernel family: the "median" squared distance of the pooled sample (the paper) or the
            "mean" (most suites). It carries no gradient.
        factors: bandwidths as multiples of the centre, > 0, equally weighted. The default is the paper's 33: 2^-8 to
            2^8 in steps of 2^(1/2).

    References:
        Long, Cao, Wang and Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015.
        arXiv:1502.02791, Section 3.
    """

    weight: NonNegative = 1.0
    layers: tuple[Literal["features", "logits"], ...] = ("features", "logits")
    estimator: Estimator = "unbiased"
    bandwidth: BandwidthRule = "median"
    factors: tuple[Positive, ...] = tuple(2.0 ** (power / 2) for power in range(-16, 17))

    def loss(self, ctx: LossContext) -> Array:
        """weight * the sum over layers of MMD^2."""
        gaps = [self.squared_mmd(getattr(ctx.source, name), getattr(ctx.target, name)) for name in self.layers]
        return self.weight * jnp.sum(jnp.stack(gaps))

    def squared_mmd(self, source: Array, target: Array) -> Array:
        """Squared MMD between source [n, d] and target [m, d]."""
        kernel = gaussian_kernel(jnp.concatenate([source, target]), self.bandwidth, self.factors)
        return mmd(kernel, source.shape[0], self.estimator)
