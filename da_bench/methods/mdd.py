"""Margin disparity discrepancy."""

import jax.numpy as jnp
import optax

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Output
from da_bench.losses.adversarial import log_one_minus_probability, reverse_gradient
from da_bench.methods.base import LossContext, MethodSpec, MethodState, Penalty, register
from da_bench.methods.schedules import Schedule, scheduled
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Head


@register(
    check_overrides={"widths": (16,)},
    expected_failures={
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features",
    },
    search={"weight": REVERSED_WEIGHT},
)
class Mdd(Penalty):
    """Margin disparity discrepancy (MDD): a second classifier agrees with the first on the source, not on the target.

    weight: of the reversed gradient that reaches the features, 0.1 at the end in the paper. schedule: "ramp", from 0 by
    2 / (1 + exp(-10 p)) - 1, "warm_start", the code's by steps, or another of `methods.schedules`. margin:
    gamma = exp(rho), the authors' code takes 4 on Office-31 and 2 on Office-Home. widths: hidden layers of the second
    classifier; () is linear, as the networks' own are here, where the authors' first has the same hidden layer as the
    second. What the first classifier predicts carries no gradient.

    References: Zhang, Liu, Long and Jordan, Bridging Theory and Algorithm for Domain Adaptation, ICML 2019.
    arXiv:1904.05801.
    """

    weight: NonNegative = 0.1
    schedule: Schedule = "ramp"
    margin: Positive = 4.0
    widths: tuple[int, ...] = (1024,)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The second classifier's parameters."""
        return MethodState(params=self._head(spec.output).init_params(key, spec.output.features))

    def loss(self, ctx: LossContext) -> Array:
        """gamma CE(f'(s), f(s)) - mean log(1 - p of f(t) under f'(t)), its gradient reversed towards the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        head, n = self._head(ctx.source), len(ctx.source.features)
        features = reverse_gradient(jnp.concatenate([ctx.source.features, ctx.target.features]), strength)
        judged = head.logits(ctx.params, features)
        agreed, other = ctx.source.logits.argmax(axis=1), ctx.target.logits.argmax(axis=1)
        on_source = optax.softmax_cross_entropy_with_integer_labels(judged[:n], agreed).mean()
        return self.margin * on_source - log_one_minus_probability(judged[n:], other).mean()

    def _head(self, output: Output) -> Head:
        return Head(self.widths, output.logits.shape[1])
