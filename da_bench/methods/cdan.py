"""Conditional adversarial domain adaptation."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import Count, NonNegative, field
from da_bench.core.types import Array, Output, Tree, named_key
from da_bench.losses.adversarial import (
    Schedule,
    multilinear_map,
    randomised_multilinear_map,
    reverse_gradient,
    scheduled,
    weighted_domain_cross_entropy,
)
from da_bench.losses.entropy import row_entropies
from da_bench.methods.base import Penalty, register
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Discriminator

WIDEST = 4096  # entries of an outer product, in the paper


@register
class Cdan(Penalty):
    """Conditional domain adversarial network (CDAN): a domain classifier on features multiplied with predictions.

    weight: lambda at full strength. schedule: "ramp", DANN's 2 / (1 + exp(-10 p)) - 1, "warm_start", the authors'
    code's by steps, or another of `losses.adversarial.scheduled`. widths: hidden layers of the domain classifier.
    entropy_conditioning: CDAN+E's weights 1 + exp(-H) of rows, H the entropy of their predictions: "none"; "plain", as
    the paper writes them; "normalised", their mean over both domains made 1 (most suites). joint: the multilinear map,
    "outer" products, "random" products of `random_width` fixed Gaussian projections, or "auto", the paper's: random
    where an outer product had more than 4096 entries. random_width: d. domain_loss: "sum" of the two domains' means, as
    the paper writes them, or their "mean", half of it (the authors' code and most suites).

    No gradient reaches the predictions from here, neither through the map nor through the weights.

    References: Long, Cao, Wang and Jordan, Conditional Adversarial Domain Adaptation, NeurIPS 2018. arXiv:1705.10667.
    """

    checked_with: ClassVar = {"widths": (16,)}

    expected_failed_checks: ClassVar = {
        "gradient_is_that_of_finite_differences": "the gradient is reversed, and the predictions carry none",
    }

    searched: ClassVar = {"weight": REVERSED_WEIGHT}

    weight: NonNegative = 1.0
    schedule: Schedule = "ramp"
    widths: tuple[int, ...] = (1024, 1024)
    entropy_conditioning: Literal["none", "plain", "normalised"] = "none"
    joint: Literal["auto", "outer", "random"] = "auto"
    random_width: Count = 1024
    domain_loss: Literal["sum", "mean"] = field(default="sum", since="0.1")

    def init(self, key: Array, output: Output) -> Tree:
        """The domain classifier's parameters."""
        entries = output.features.shape[1] * output.logits.shape[1]
        width = self.random_width if self._random(output) else entries
        return {"discriminator": Discriminator(self.widths).init_params(key, jnp.zeros((1, width)))}

    def drawn(self, key: Array, output: Output) -> Tree:
        """The projections of the random map: of features [d, r] and of predictions [c, r]."""
        if not self._random(output):
            return {}
        shapes = {name: (getattr(output, name).shape[1], self.random_width) for name in ("features", "logits")}
        return {name: jax.random.normal(named_key(key, name), shape) for name, shape in shapes.items()}

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """The domain classifier's loss, with the gradient reversed on its way to the features."""
        strength = scheduled(self.weight, self.schedule, progress)
        both = jax.tree.map(lambda ours, theirs: jnp.concatenate([ours, theirs]), source, target)
        logits = jax.lax.stop_gradient(both.logits)
        products = self._map(params, reverse_gradient(both.features, strength), jax.nn.softmax(logits))
        judged = Discriminator(self.widths).logits(params["discriminator"], products)
        loss = weighted_domain_cross_entropy(judged, self._weights(logits), source.features.shape[0])
        return loss if self.domain_loss == "sum" else loss / 2

    def _random(self, output: Output) -> bool:
        wide = output.features.shape[1] * output.logits.shape[1] > WIDEST
        return self.joint == "random" or (self.joint == "auto" and wide)

    def _map(self, params: Tree, features: Array, predictions: Array) -> Array:
        if "features" in params:
            return randomised_multilinear_map(features, predictions, params["features"], params["logits"])
        return multilinear_map(features, predictions)

    def _weights(self, logits: Array) -> Array:
        if self.entropy_conditioning == "none":
            return jnp.ones(logits.shape[0], logits.dtype)
        weights = 1.0 + jnp.exp(-row_entropies(logits))
        return weights if self.entropy_conditioning == "plain" else weights / weights.mean()
