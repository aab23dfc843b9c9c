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
    """Conditional domain adversarial network (CDAN): a domain classifier on features multiplied with predictions.

    weight: lambda at full strength. schedule: "ramp", DANN's 2 / (1 + exp(-10 p)) - 1, "warm_start", the authors'
    code's by steps, or another of `methods.schedules`. widths: hidden layers of the domain classifier.
    entropy_conditioning: CDAN+E's weights 1 + exp(-H) of rows, H the entropy of their predictions: "none"; "plain", as
    the paper writes them; "normalised", their mean over both domains made 1 (most suites). joint: the multilinear map,
    "outer" products, "random" products of `random_width` fixed Gaussian projections, or "auto", the paper's: random
    where an outer product had more than 4096 entries. random_width: d. domain_loss: "sum" of the two domains' means, as
    the paper writes them, or their "mean", half of it (the authors' code and most suites).

    No gradient reaches the predictions from here, neither through the map nor through the weights.

    References: Long, Cao, Wang and Jordan, Conditional Adversarial Domain Adaptation, NeurIPS 2018. arXiv:1705.10667.
    """

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    entropy_conditioning: Literal["none", "plain", "normalised"] = "none"
    joint: Literal["auto", "outer", "random"] = "auto"
    random_width: Count = 1024
    domain_loss: Literal["sum", "mean"] = field(default="sum", since="0.1")

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier, and the fixed projections of the random map: features [d, r] and logits [c, r]."""
        sizes = {"features": spec.output.features.shape[1], "logits": spec.output.logits.shape[1]}
        width, projections = sizes["features"] * sizes["logits"], {}
        if self.joint == "random" or (self.joint == "auto" and width > MAX_OUTER_SIZE):
            width = self.random_width
            projections = {
                name: jax.random.normal(named_key(spec.constants_key, name), (size, width))
                for name, size in sizes.items()
            }
        return MethodState(
            params=Discriminator(self.widths).init_params(key, jnp.zeros((1, width))), constants=projections
        )

    def loss(self, ctx: LossContext) -> Array:
        """The domain classifier's loss, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        both = jax.tree.map(lambda ours, theirs: jnp.concatenate([ours, theirs]), ctx.source, ctx.target)
        logits = jax.lax.stop_gradient(both.logits)
        products = self._map(ctx.constants, reverse_gradient(both.features, strength), jax.nn.softmax(logits))
        judged = Discriminator(self.widths).logits(ctx.params, products)
        loss = weighted_domain_cross_entropy(judged, self._weights(logits), ctx.source.features.shape[0])
        return loss if self.domain_loss == "sum" else loss / 2

    def _map(self, projections: Tree, features: Array, predictions: Array) -> Array:
        if projections:
            return randomised_multilinear_map(features, predictions, projections["features"], projections["logits"])
        return multilinear_map(features, predictions)

    def _weights(self, logits: Array) -> Array:
        if self.entropy_conditioning == "none":
            return jnp.ones(logits.shape[0], logits.dtype)
        weights = 1.0 + jnp.exp(-row_entropies(logits))
        return weights if self.entropy_conditioning == "plain" else weights / weights.mean()
