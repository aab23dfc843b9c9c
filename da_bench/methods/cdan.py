"""Conditional adversarial domain adaptation."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import Count, NonNegative, field
from da_bench.core.types import Array, Tree, named_key
from da_bench.losses.adversarial import (
    multilinear_map,
    randomised_multilinear_map,
    reverse_gradient,
    weighted_domain_cross_entropy,
)
from da_bench.losses.entropy import row_entropies
from da_bench.methods.base import LossContext, MethodSpec, MethodState, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Discriminator

MAX_OUTER_SIZE = 4096  # entries of an outer product, in the paper


@register(
    check_overrides={"widths": (16,)},
    expected_failures={
        "gradient_is_that_of_finite_differences": "the gradient is reversed, and the predictions carry none",
    },
    search={"weight": REVERSED_WEIGHT},
)
class Cdan(Penalty):
    """Conditional domain adversarial network (CDAN): a domain classifier on the product of features and predictions.

    No gradient reaches the predictions from this term, neither through the map nor through the entropy weights.

    Args:
        weight: lambda at full strength, >= 0.
        schedule: of lambda: "ramp" as in DANN; "warm_start", by steps, as in the authors' code; or another of
            `methods.schedules`.
        widths: hidden layers of the domain classifier; two of 1024 units, as in the authors' code.
        entropy_conditioning: weights 1 + exp(-H) of rows in CDAN+E, where H is the entropy of the row's prediction.
            "none": all 1; "plain": as the paper writes them; "normalised": divided by their mean over both domains
            (most suites).
        joint: the map of features and predictions. "outer": their outer product; "random": products of `random_width`
            fixed Gaussian projections; "auto", as in the paper: "random" where an outer product has more than 4096
            entries.
        random_width: number of random projections, d >= 1; 1024 as in the paper.
        domain_loss: "sum" of the two domains' mean losses, as the paper writes them, or their "mean", half of it (the
            authors' code and most suites).

    References:
        Long, Cao, Wang and Jordan, Conditional Adversarial Domain Adaptation, NeurIPS 2018. arXiv:1705.10667.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    entropy_conditioning: Literal["none", "plain", "normalised"] = "none"
    joint: Literal["auto", "outer", "random"] = "auto"
    random_width: Count = 1024
    domain_loss: Literal["sum", "mean"] = field(default="sum", since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the domain classifier and, for the random map, the projections of features and predictions [., r]."""
        sizes = {"features": spec.output.features.shape[1], "logits": spec.output.logits.shape[1]}
        width, projections = sizes["features"] * sizes["logits"], {}
        if self.joint == "random" or (self.joint == "auto" and width > MAX_OUTER_SIZE):
            width = self.random_width
            projections = {
                name: jax.random.normal(named_key(spec.constants_key, name), (size, width))
                for name, size in sizes.items()
            }
        discriminator = Discriminator(self.widths).init_params(key, jnp.zeros((1, width)))
        return MethodState(params=discriminator, constants=projections)

    def loss(self, ctx: LossContext) -> Array:
        """Loss of the domain classifier, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        pooled = jax.tree.map(lambda s, t: jnp.concatenate([s, t]), ctx.source, ctx.target)
        logits = jax.lax.stop_gradient(pooled.logits)
        products = self._map(ctx.constants, reverse_gradient(pooled.features, strength), jax.nn.softmax(logits))
        domain_logits = Discriminator(self.widths).logits(ctx.params, products)
        loss = weighted_domain_cross_entropy(domain_logits, self._row_weights(logits), ctx.source.features.shape[0])
        return loss if self.domain_loss == "sum" else loss / 2

    def _map(self, projections: Tree, features: Array, predictions: Array) -> Array:
        if projections:
            return randomised_multilinear_map(features, predictions, projections["features"], projections["logits"])
        return multilinear_map(features, predictions)

    def _row_weights(self, logits: Array) -> Array:
        if self.entropy_conditioning == "none":
            return jnp.ones(logits.shape[0], logits.dtype)
        weights = 1.0 + jnp.exp(-row_entropies(logits))
        return weights if self.entropy_conditioning == "plain" else weights / weights.mean()
