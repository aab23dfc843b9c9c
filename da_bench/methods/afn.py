"""Adaptive feature norm."""

from typing import Literal

import jax
import jax.numpy as jnp

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Output
from da_bench.losses.distances import norm
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import SMALL_WEIGHT, Uniform


@register(
    expected_failures={
        "gradient_is_that_of_finite_differences": "the target norm carries no gradient",
        "gains_on_moved_domains": "larger norms move no cluster",
    },
    # the reality check's; delta between 0, which would change nothing, and 2
    search={"weight": SMALL_WEIGHT, "delta": Uniform(0.01, 2.0)},
)
class Afn(Penalty):
    """Adaptive feature norm (AFN): enlarge the feature norms of both domains, step by step or up to a radius.

    Args:
        weight: lambda, >= 0; 0.05 as in the paper.
        variant: "stepwise" (SAFN): the norm of each row should be `delta` larger than it is. "hard" (HAFN): the mean
            norm of each domain should be `radius`.
        delta: Delta r > 0 of SAFN; 1 as in the paper, which has 0.3 on VisDA.
        radius: R > 0 of HAFN; 25 as in the paper.
        average: of SAFN, over all "rows" of both domains (the paper), or the sum of the means of both "domains" (the
            authors' code), twice as much for domains of equal size.
        entropy_weight: of the target's conditional entropy, >= 0; 0.1 in the paper's SAFN+ENT. `weight` does not
            multiply it.

    References:
        Xu, Li, Yang and Lin, Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised Domain
        Adaptation, ICCV 2019. arXiv:1811.07456.
    """

    weight: NonNegative = 0.05
    variant: Literal["stepwise", "hard"] = "stepwise"
    delta: Positive = 1.0
    radius: Positive = 25.0
    average: Literal["rows", "domains"] = "rows"
    entropy_weight: NonNegative = 0.0

    def loss(self, ctx: LossContext) -> Array:
        """weight * (the term of the norms) + entropy_weight * H(Y|X) of the target."""
        source, target = norm(ctx.source.features), norm(ctx.target.features)
        term = self._stepwise(source, target) if self.variant == "stepwise" else self._hard(source, target)
        return self.weight * term + self.entropy_weight * conditional_entropy(ctx.target.logits)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Minus the mean norm over both domains; for "hard", the squared distances from the radius."""
        norms = norm(source.features), norm(target.features)
        return -jnp.concatenate(norms).mean() if self.variant == "stepwise" else self._hard(*norms)

    def _stepwise(self, source: Array, target: Array) -> Array:
        gaps = [(x - jax.lax.stop_gradient(x) - self.delta) ** 2 for x in (source, target)]
        return jnp.concatenate(gaps).mean() if self.average == "rows" else gaps[0].mean() + gaps[1].mean()

    def _hard(self, source: Array, target: Array) -> Array:
        return (source.mean() - self.radius) ** 2 + (target.mean() - self.radius) ** 2
