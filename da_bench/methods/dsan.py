"""Deep subdomain adaptation network."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array
from da_bench.losses.mmd import BandwidthRule, gaussian_kernel, local_mmd
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled


@register(
    expected_failures={
        "gradient_is_that_of_finite_differences": "bandwidths and pseudo-labels carry no gradient",
    }
)
class Dsan(Penalty):
    """Deep subdomain adaptation network (DSAN): MMD class by class, where target rows belong to classes as predicted.

    The target predictions carry no gradient here. The kernels of the family are summed, as in the authors' code.

    Args:
        weight: lambda at full strength, >= 0.
        schedule: of lambda: "ramp", the authors' 2 / (1 + exp(-10 p)) - 1, or another of `methods.schedules`.
        counted: the classes in the average: those with a "source" row in the batch (the paper averages over all, but a
            class without a source row has no distance), or those in "both" domains, by the most probable class of
            target rows (the authors' code).
        bandwidth: centre of the Gaussian family, the "mean" or the "median" squared distance.
        factors: bandwidths as multiples of the centre, > 0.

    References:
        Zhu, Zhuang, Wang, Ke, Chen, Bian, Xiong and He, Deep Subdomain Adaptation Network for Image Classification,
        IEEE TNNLS 2020. arXiv:2106.09144.
    """

    weight: NonNegative = 0.5
    schedule: Schedule = "ramp"
    counted: Literal["source", "both"] = "source"
    bandwidth: BandwidthRule = "mean"
    factors: tuple[Positive, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)

    def loss(self, ctx: LossContext) -> Array:
        """weight * LMMD of the features."""
        logits = ctx.target.logits
        source = jax.nn.one_hot(ctx.labels, logits.shape[1], dtype=logits.dtype)
        target = jax.nn.softmax(logits)
        pooled = jnp.concatenate([ctx.source.features, ctx.target.features])
        kernel = len(self.factors) * gaussian_kernel(pooled, self.bandwidth, self.factors)
        gap = local_mmd(kernel, source, target, self._counted_classes(source, target))
        return scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps) * gap

    def _counted_classes(self, source: Array, target: Array) -> Array:
        """[c] bool, from class memberships [n, c] and [m, c]."""
        if self.counted == "both":
            target = jax.nn.one_hot(target.argmax(axis=1), target.shape[1])
        return (source.sum(axis=0) > 0) & (target.sum(axis=0) > 0)
