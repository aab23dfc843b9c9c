"""Batch spectral penalisation."""

import functools
from typing import Literal

import jax.numpy as jnp

from da_bench.core.config import Count, NonNegative, field
from da_bench.core.types import Array
from da_bench.losses.adversarial import domain_adversarial_loss
from da_bench.losses.spectrum import singular_values
from da_bench.methods.base import LossContext, MethodSpec, MethodState, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled
from da_bench.methods.search_space import REVERSED_WEIGHT, SMALL_WEIGHT
from da_bench.models import Discriminator


@register(
    check_overrides={"widths": (16,)},
    expected_failures={
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features",
    },
    search={"weight": REVERSED_WEIGHT, "spectral_weight": SMALL_WEIGHT},
)
class Bsp(Penalty):
    """Batch spectral penalisation (BSP): DANN, with a penalty on the largest singular values of each domain's features.

    Args:
        weight: factor of both terms, >= 0: lambda of the domain classifier, and a factor of the spectral term.
        schedule: of the domain classifier's lambda: "ramp" as in DANN, or another of `methods.schedules`.
        widths: hidden layers of the domain classifier.
        spectral_weight: beta, >= 0; 1e-4 as in the paper.
        values: k >= 1, the number of singular values penalised in each domain, or all if there are fewer; 1 as in the
            paper.
        domain_loss: "sum" of the two domains' mean losses, as in DANN's paper, or their "mean", half of it (TLlib).

    References:
        Chen, Wang, Long and Wang, Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial
        Domain Adaptation, ICML 2019. https://proceedings.mlr.press/v97/chen19i.html. DANN: arXiv:1505.07818.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    spectral_weight: NonNegative = 1e-4
    values: Count = 1
    domain_loss: Literal["sum", "mean"] = field(default="sum", since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the domain classifier."""
        return MethodState(params=Discriminator(self.widths).init_params(key, spec.output.features))

    def loss(self, ctx: LossContext) -> Array:
        """DANN's term + weight * beta * the sum of the k largest squared singular values of each domain."""
        discriminator = functools.partial(Discriminator(self.widths).logits, ctx.params)
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        adversarial = domain_adversarial_loss(discriminator, ctx.source.features, ctx.target.features, strength)
        spectral = self._largest_squared(ctx.source.features) + self._largest_squared(ctx.target.features)
        scale = 1.0 if self.domain_loss == "sum" else 0.5
        return scale * adversarial + self.weight * self.spectral_weight * spectral

    def _largest_squared(self, features: Array) -> Array:
        return jnp.sum(singular_values(features)[: self.values] ** 2)
