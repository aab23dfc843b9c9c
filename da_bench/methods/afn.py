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
        "gradient_is_that_of_finite_differences": "the norm that is aimed at carries no gradient",
        "gains_on_moved_domains": "larger norms move no cluster",
    },
    # the reality check: a step between 0, which is none, and 2
    search={"weight": SMALL_WEIGHT, "delta": Uniform(0.01, 2.0)},
)
class Afn(Penalty):
    """Adaptive feature norm (AFN): features of both domains are made longer, step by step or up to a radius.

    weight: lambda. variant: "stepwise" (SAFN), each row's norm is to be `delta` more than it is, or "hard" (HAFN), each
    domain's mean norm is to be `radius`. delta: Delta r, 1 in the paper, 0.3 on VisDA. radius: R. average: of SAFN,
    over all "rows" of both domains (the paper), or the sum of both "domains" means, twice as much where they are
    equally many (the authors' code). entropy_weight: of the target's conditional entropy, 0.1 in the paper's
    SAFN+ENT; it is not multiplied by weight.

    References: Xu, Li, Yang and Lin, Larger Norm More Transferable: An Adaptive Feature Norm Approach for Unsupervised
    Domain Adaptation, ICCV 2019. arXiv:1811.07456.
    """

    weight: NonNegative = 0.05
    variant: Literal["stepwise", "hard"] = "stepwise"
    delta: Positive = 1.0
    radius: Positive = 25.0
    average: Literal["rows", "domains"] = "rows"
    entropy_weight: NonNegative = 0.0

    def loss(self, ctx: LossContext) -> Array:
        """weight * the norms' term + entropy_weight * H(Y|X) of the target."""
        ours, theirs = norm(ctx.source.features), norm(ctx.target.features)
        term = self._stepwise(ours, theirs) if self.variant == "stepwise" else self._hard(ours, theirs)
        return self.weight * term + self.entropy_weight * conditional_entropy(ctx.target.logits)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Minus the mean norm over both domains; of "hard", what is squared and summed."""
        ours, theirs = norm(source.features), norm(target.features)
        return -jnp.concatenate([ours, theirs]).mean() if self.variant == "stepwise" else self._hard(ours, theirs)

    def _stepwise(self, ours: Array, theirs: Array) -> Array:
        gaps = [(x - jax.lax.stop_gradient(x) - self.delta) ** 2 for x in (ours, theirs)]
        return jnp.concatenate(gaps).mean() if self.average == "rows" else gaps[0].mean() + gaps[1].mean()

    def _hard(self, ours: Array, theirs: Array) -> Array:
        return (ours.mean() - self.radius) ** 2 + (theirs.mean() - self.radius) ** 2
