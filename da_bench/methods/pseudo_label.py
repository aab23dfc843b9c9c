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
    """Pseudo-labels: target rows learn their own most probable class, with a weight that rises during the run.

    Args:
        weight: alpha_f, the weight at full strength, >= 0.
        begin: share of the run at which the weight starts to rise linearly from 0, in [0, 1]; the paper's T_1 is epoch
            100, as of 1000.
        end: share of the run at which the weight is full, in [0, 1]; the paper's T_2 is epoch 600.
        threshold: probability in [0, 1] below which rows are left out; 0 (the paper) leaves out none, suites have 0.9
            and more.

    References:
        Lee, Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks, ICML
        Workshop 2013, Eq. 15-16. On how it confirms its own errors: Arazo et al. 2020, arXiv:1908.02983.
    """

    weight: NonNegative = 3.0
    begin: Fraction = 0.1
    end: Fraction = 0.6
    threshold: Fraction = 0.0

    def loss(self, ctx: LossContext) -> Array:
        """alpha(t) * the mean cross-entropy with the target's own labels."""
        logits = ctx.target.logits
        term = confident_cross_entropy(logits, jax.nn.softmax(logits), self.threshold)
        return self.weight * linear_rise(ctx.step, ctx.num_steps, self.begin, self.end) * term

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)
