"""Margin disparity discrepancy."""

from typing import ClassVar

import jax.numpy as jnp
import optax

from da_bench.core.config import NonNegative, Positive
from da_bench.core.types import Array, Output, Tree
from da_bench.losses.adversarial import Schedule, log_one_minus_probability, reverse_gradient, scheduled
from da_bench.methods.base import Penalty, register
from da_bench.methods.search_space import REVERSED_WEIGHT
from da_bench.models import Head


@register
class Mdd(Penalty):
    """Margin disparity discrepancy (MDD): a second classifier agrees with the first on the source, not on the target.

    weight: of the reversed gradient that reaches the features, 0.1 at the end in the paper. schedule: "ramp", from 0 by
    2 / (1 + exp(-10 p)) - 1, "warm_start", the code's by steps, or another of `losses.adversarial.scheduled`. margin:
    gamma = exp(rho), the authors' code takes 4 on Office-31 and 2 on Office-Home. widths: hidden layers of the second
    classifier; () is linear, as the networks' own are here, where the authors' first has the same hidden layer as the
    second. What the first classifier predicts carries no gradient.

    References: Zhang, Liu, Long and Jordan, Bridging Theory and Algorithm for Domain Adaptation, ICML 2019.
    arXiv:1904.05801.
    """

    checked_with: ClassVar = {"widths": (16,)}

    expected_failed_checks: ClassVar = {
        "gradient_is_that_of_finite_differences": "the gradient is reversed on its way to the features",
    }

    searched: ClassVar = {"weight": REVERSED_WEIGHT}

    weight: NonNegative = 0.1
    schedule: Schedule = "ramp"
    margin: Positive = 4.0
    widths: tuple[int, ...] = (1024,)

    def init(self, key: Array, output: Output) -> Tree:
        """The second classifier's parameters."""
        return self._head(output).init_params(key, output.features)

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """gamma CE(f'(s), f(s)) - mean log(1 - p of f(t) under f'(t)), its gradient reversed towards the features."""
        strength, head, n = scheduled(self.weight, self.schedule, progress), self._head(source), len(source.features)
        features = reverse_gradient(jnp.concatenate([source.features, target.features]), strength)
        judged = head.logits(params, features)
        agreed, other = source.logits.argmax(axis=1), target.logits.argmax(axis=1)
        on_source = optax.softmax_cross_entropy_with_integer_labels(judged[:n], agreed).mean()
        return self.margin * on_source - log_one_minus_probability(judged[n:], other).mean()

    def _head(self, output: Output) -> Head:
        return Head(self.widths, output.logits.shape[1])
