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
    """Deep subdomain adaptation network (DSAN): MMD class by class, target rows belonging to classes as predicted.

    weight: lambda at full strength. schedule: "ramp", the authors' 2 / (1 + exp(-10 p)) - 1, or another of
    `methods.schedules`. counted: the classes averaged over: those with a "source" row in the batch (the
    paper averages over all of them, but one without a source row has no distance), or those that "both" domains have,
    the target by its most probable classes (the authors' code). bandwidth: centre of the Gaussian family, the "mean"
    squared distance or the "median". factors: its bandwidths as multiples of the centre; the kernels are summed, as in
    the authors' code. Predictions carry no gradient here.

    References: Zhu, Zhuang, Wang, Ke, Chen, Bian, Xiong and He, Deep Subdomain Adaptation Network for Image
    Classification, IEEE TNNLS 2020. arXiv:2106.09144.
    """

    weight: NonNegative = 0.5
    schedule: Schedule = "ramp"
    counted: Literal["source", "both"] = "source"
    bandwidth: BandwidthRule = "mean"
    factors: tuple[Positive, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)

    def loss(self, ctx: LossContext) -> Array:
        """weight * LMMD of the features."""
        classes = ctx.target.logits.shape[1]
        ours, theirs = (
            jax.nn.one_hot(ctx.labels, classes, dtype=ctx.target.logits.dtype),
            jax.nn.softmax(ctx.target.logits),
        )
        pooled = jnp.concatenate([ctx.source.features, ctx.target.features])
        kernel = len(self.factors) * gaussian_kernel(pooled, self.bandwidth, self.factors)
        gap = local_mmd(kernel, ours, theirs, self._counted(ours, theirs))
        return scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps) * gap

    def _counted(self, ours: Array, theirs: Array) -> Array:
        """[c] bool."""
        if self.counted == "both":
            theirs = jax.nn.one_hot(theirs.argmax(axis=1), theirs.shape[1])
        return (ours.sum(axis=0) > 0) & (theirs.sum(axis=0) > 0)
