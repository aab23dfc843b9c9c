"""Entropy minimisation."""

from da_bench.core.config import NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods.base import LossContext, Penalty, register


@register(
    expected_failures={
        "gains_on_moved_domains": "predictions can become confident in the wrong class, and some do here",
    }
)
class EntropyMinimisation(Penalty):
    """Mean entropy of the target predictions, in nats: moves decision boundaries away from dense target regions.

    Args:
        weight: lambda, >= 0; 0.1 is what later methods add it with.

    References:
        Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, NIPS 2004. On a target domain: Long,
        Zhu, Wang and Jordan, Residual Transfer Networks, NIPS 2016. arXiv:1602.04433.
    """

    weight: NonNegative = 0.1

    def loss(self, ctx: LossContext) -> Array:
        """weight * H(Y|X) of the target."""
        return self.weight * conditional_entropy(ctx.target.logits)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """H(Y|X) of the target."""
        return conditional_entropy(target.logits)
