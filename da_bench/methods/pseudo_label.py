"""Pseudo-labels."""

import jax

from da_bench.core.config import Fraction, NonNegative
from da_bench.core.types import Array, Output
from da_bench.losses.entropy import conditional_entropy
from da_bench.losses.pseudo_labels import confident_cross_entropy
from da_bench.methods.base import LossContext, Penalty, register
from da_bench.methods.schedules import linear_rise


@register
class PseudoLabel(Penalty):
    """The likeliest class of a target row is taken for its label, more so as the run goes on.

    weight: alpha_f, at full strength. begin, end: alpha(t) rises linearly between these shares of the run, from 0. The
    paper's are epochs 100 and 600; begin: T_1, end: T_2, as of 1000. threshold: rows whose largest probability is less
    are left out; 0 (the paper) leaves out none, suites take 0.9 and more.

    References: Lee, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks,
    ICML Workshop 2013, Eq. 15-16. Of how it confirms its own errors: Arazo et al. 2020, arXiv:1908.02983.
    """

    weight: NonNegative = 3.0
    begin: Fraction = 0.1
    end: Fraction = 0.6
    threshold: Fraction = 0.0

    def loss(self, ctx: LossContext) -> Array:
        """alpha(t) * the mean cross-entropy with the target's own labels."""
        own = confident_cross_entropy(ctx.target.logits, jax.nn.softmax(ctx.target.logits), self.threshold)
        return self.weight * linear_rise(ctx.step, ctx.num_steps, self.begin, self.end) * own

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)
