"""Batch spectral penalisation."""

import functools
from typing import ClassVar, Literal

import jax.numpy as jnp

from da_bench.core.config import Count, NonNegative, field
from da_bench.core.types import Array, Output, Tree
from da_bench.losses.adversarial import Schedule, domain_adversarial_loss, scheduled
from da_bench.losses.spectrum import singular_values
from da_bench.methods.base import Penalty, register
from da_bench.methods.search_space import REVERSED_WEIGHT, SMALL_WEIGHT
from da_bench.models import Discriminator


@register
class Bsp(Penalty):
    """Batch spectral penalisation (BSP) on DANN: the largest singular values of each domain's features are kept small.

    weight: of all of it: lambda of the domain classifier and a factor of the spectral term. schedule: of the domain
    classifier's lambda, DANN's "ramp" or one of the suites', see `losses.adversarial.scheduled`. widths: hidden layers
    of the domain classifier. spectral_weight: beta. values: k, how many singular values of each domain are penalised,
    all where there are fewer. domain_loss: "sum" of the two domains' means, as in DANN's paper, or their "mean", half
    of it (TLlib).

    References: Chen, Wang, Long and Wang, Transferability vs. Discriminability: Batch Spectral Penalization for
    Adversarial Domain Adaptation, ICML 2019. https://proceedings.mlr.press/v97/chen19i.html; DANN: arXiv:1505.07818.
    """

    checked_with: ClassVar = {"widths": (16,)}

    expected_failed_checks: ClassVar = {
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features",
    }

    searched: ClassVar = {"weight": REVERSED_WEIGHT, "spectral_weight": SMALL_WEIGHT}

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    spectral_weight: NonNegative = 1e-4
    values: Count = 1
    domain_loss: Literal["sum", "mean"] = field(default="sum", since="0.1")

    def init(self, key: Array, output: Output) -> Tree:
        """The domain classifier's parameters."""
        return Discriminator(self.widths).init_params(key, output.features)

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """DANN's term + weight * beta * sum of the squared largest singular values."""
        judge = functools.partial(Discriminator(self.widths).logits, params)
        strength = scheduled(self.weight, self.schedule, progress)
        confusion = domain_adversarial_loss(judge, source.features, target.features, strength)
        spectra = self._largest(source.features) + self._largest(target.features)
        scale = 1.0 if self.domain_loss == "sum" else 0.5
        return scale * confusion + self.weight * self.spectral_weight * spectra

    def _largest(self, features: Array) -> Array:
        return jnp.sum(singular_values(features)[: self.values] ** 2)
