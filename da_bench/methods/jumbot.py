"""Unbalanced minibatch optimal transport of features and classes."""

import jax.numpy as jnp

from da_bench.core.config import Count, NonNegative, Positive
from da_bench.core.types import Array, Output
from da_bench.losses.distances import squared_distances
from da_bench.losses.transport import pairwise_cross_entropy, unbalanced_sinkhorn
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.search_space import LogUniform


@register(
    expected_failures={
        "gradient_is_that_of_finite_differences": "the plan carries no gradient",
    },
    # our own: around the paper's values on digits and on Office-Home
    search={"eta1": LogUniform(0.001, 1.0), "eta2": LogUniform(0.01, 1.0), "tau": LogUniform(0.1, 10.0)},
)
class Jumbot(Penalty):
    """Joint transport of features and classes that may leave rows where they are: unbalanced, between batches.

    Batches of two domains need not hold the same classes, and a plan that transports all of both must pair rows of
    different ones. This one pays tau for what it leaves out. Minimised is <plan, cost> of the cost
    eta1 ||f_i - f_j||^2 + eta2 CE(y_i, p_j), at a fixed plan.

    weight: of the whole term, the paper's eta_3. eta1: of features in the cost; eta2: of classes. tau: of the
    Kullback-Leibler divergences of the plan's marginals from equal weights. epsilon: of the plan's entropy. Defaults
    are the paper's on digits; on Office-Home 0.01, 0.5, 0.5 and 0.01. iterations: of Sinkhorn's algorithm; 50 are
    enough for the digits' values, and leave 4 to 7 % of the plan where tau is 50 to 100 times epsilon.

    The paper's batches hold every class of the source equally often; here they are drawn as for all methods. The
    entropy is relative to the product of the marginals (the paper's Section 3), not absolute (the authors' code).

    References: Fatras, Sejourne, Flamary and Courty, Unbalanced minibatch Optimal Transport; applications to Domain
    Adaptation, ICML 2021. arXiv:2103.03606, Section 4.
    """

    weight: NonNegative = 1.0
    eta1: NonNegative = 0.1
    eta2: NonNegative = 0.1
    tau: Positive = 1.0
    epsilon: Positive = 0.1
    iterations: Count = 50

    def loss(self, ctx: LossContext) -> Array:
        """weight * <plan, cost>."""
        return self.weight * self.transport(ctx.source, ctx.target, ctx.labels)

    def transport(self, source: Output, target: Output, labels: Array) -> Array:
        """The cost of the best plan."""
        cost = self.eta1 * squared_distances(source.features, target.features)
        cost += self.eta2 * pairwise_cross_entropy(labels, target.logits)
        plan = unbalanced_sinkhorn(cost, self.epsilon, self.tau, self.iterations)
        return jnp.sum(plan * cost)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The cost of the best plan, the source's classes being those predicted."""
        return self.transport(source, target, source.logits.argmax(axis=1))
