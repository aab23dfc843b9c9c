"""Joint distribution optimal transport in a deep network."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, NonNegative, Positive
from da_bench.core.types import Array, Output
from da_bench.losses.distances import squared_distances
from da_bench.losses.transport import pairwise_cross_entropy, pairwise_label_distances, sinkhorn
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import LogUniform


@register(
    expected_failures={
        "gradient_is_that_of_finite_differences": "the plan carries no gradient",
    },
    # our own: around the default, the authors' 0.01 and 1 at their ends
    search={"alpha": LogUniform(0.001, 1.0), "label": LogUniform(0.01, 1.0)},
)
class DeepJdot(Penalty):
    """Features and predicted classes of the target are transported onto features and labels of the source.

    Minimised is the sum over pairs of plan_ij (alpha ||f_i - f_j||^2 + label L(y_i, p_j)), the plan being the one that
    makes it least for the batch, each row of a domain with equal weight; the network's gradient is at a fixed plan.

    weight: of the whole term, 1 in the paper. alpha: of the squared distance of the features. label: of the
    cross-entropy L, the paper's lambda_t. Both are by default those of `Jumbot`, the same with another plan; the
    authors' code has 0.01 and 1 with batches of every class equally often, without which so large a `label` teaches
    wrong classes, as every row must be transported. source: of the source's own cross-entropy, 1 in Eq. 6, 0 in the
    authors' code. plan_label: L in the plan's cost, "cross_entropy" (the paper) or "squared", ||y_i - p_j||^2 (the
    authors' code); in the loss it is the cross-entropy always. epsilon: of the plan's entropy, as a share of the mean
    cost; the paper's plan has none (a linear program), and this one's cost comes as near as epsilon allows.
    iterations: of Sinkhorn's algorithm.

    References: Damodaran, Kellenberger, Flamary, Tuia and Courty, DeepJDOT: Deep Joint Distribution Optimal Transport
    for Unsupervised Domain Adaptation, ECCV 2018. arXiv:1803.10081, Eq. 5-8.
    """

    weight: NonNegative = 1.0
    alpha: NonNegative = 0.1
    label: NonNegative = 0.1
    source: NonNegative = 1.0
    plan_label: Literal["cross_entropy", "squared"] = "cross_entropy"
    epsilon: Positive = 0.01
    iterations: Count = 50

    def loss(self, ctx: LossContext) -> Array:
        """weight * <plan, cost>, and what `source` adds to or takes from the source's cross-entropy."""
        own = optax.softmax_cross_entropy_with_integer_labels(ctx.source.logits, ctx.labels).mean()
        return self.weight * self.transport(ctx.source, ctx.target, ctx.labels) + (self.source - 1) * own

    def transport(self, source: Output, target: Output, labels: Array) -> Array:
        """The cost of the best plan."""
        features = self.alpha * squared_distances(source.features, target.features)
        classes = self.label * pairwise_cross_entropy(labels, target.logits)
        of_plan = pairwise_cross_entropy if self.plan_label == "cross_entropy" else pairwise_label_distances
        cost = jax.lax.stop_gradient(features + self.label * of_plan(labels, target.logits))
        return jnp.sum(sinkhorn(cost, self.epsilon * cost.mean(), self.iterations) * (features + classes))

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The cost of the best plan, the source's classes being those predicted."""
        return self.transport(source, target, source.logits.argmax(axis=1))
