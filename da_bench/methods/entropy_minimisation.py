"""Entropy minimisation."""

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods.base import LossContext, Penalty, register


@register(
    expected_failures={
        "gains_on_moved_domains": "predictions may become sure of the wrong class, and here some do",
    }
)
class EntropyMinimisation(Penalty):
    """Mean entropy of the target's predictions: no decision where target rows are dense.

    weight: lambda; 0.1 is what later methods add it with. Entropies are in nats.

    References: Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, NIPS 2004; on a target domain,
    Long, Zhu, Wang and Jordan, Residual Transfer Networks, NIPS 2016. arXiv:1602.04433.
    """

    weight: NonNegative = 0.1

    def loss(self, ctx: LossContext) -> Array:
        """weight * H(Y|X) of the target."""
        return self.weight * conditional_entropy(ctx.target.logits)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """H(Y|X) of the target."""
        return conditional_entropy(target.logits)
