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

    The classes that the first classifier predicts carry no gradient.

    Args:
        weight: of the reversed gradient that reaches the features, >= 0; 0.1 at the end as in the paper.
        schedule: of the weight: "ramp", 2 / (1 + exp(-10 p)) - 1; "warm_start", by steps, as in the authors' code; or
            another of `methods.schedules`.
        margin: gamma = exp(rho) > 0; the authors' code has 4 on Office-31 and 2 on Office-Home.
        widths: hidden layers of the second classifier; () is linear, as the networks' own heads are here. In the
            authors' code the first classifier has the same hidden layer as the second.

    References:
        Zhang, Liu, Long and Jordan, Bridging Theory and Algorithm for Domain Adaptation, ICML 2019. arXiv:1904.05801.
    """

    weight: NonNegative = 0.1
    schedule: Schedule = "ramp"
    margin: Positive = 4.0
    widths: tuple[int, ...] = (1024,)

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the second classifier."""
        return MethodState(params=self._second_head(spec.output).init_params(key, spec.output.features))

    def loss(self, ctx: LossContext) -> Array:
        """gamma CE(f'(s), f(s)) - mean log(1 - p of f(t) under f'(t)), its gradient reversed towards the features."""
        strength = scheduled(self.weight, self.schedule, ctx.step, ctx.num_steps)
        n = len(ctx.source.features)
        features = reverse_gradient(jnp.concatenate([ctx.source.features, ctx.target.features]), strength)
        logits = self._second_head(ctx.source).logits(ctx.params, features)
        source_classes, target_classes = ctx.source.logits.argmax(axis=1), ctx.target.logits.argmax(axis=1)
        on_source = optax.softmax_cross_entropy_with_integer_labels(logits[:n], source_classes).mean()
        return self.margin * on_source - log_one_minus_probability(logits[n:], target_classes).mean()

    def _second_head(self, output: Output) -> Head:
        return Head(self.widths, output.logits.shape[1])
