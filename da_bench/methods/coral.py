"""Correlation alignment in a deep network."""

from typing import Literal

from da_bench.losses.moments import covariance_gap
from da_bench.methods.base import Penalty, register
from da_bench.settings import NonNegative
from da_bench.types import Array, Output, Tree


@register
class Coral(Penalty):
    """Deep CORAL: squared Frobenius distance between the two covariances, over 4 d^2.

    weight: lambda of Eq. 6; the paper chooses it so that both losses are of one size at the end. layer: what is
    aligned; the paper aligns the last layer's output, "logits"; several suites align the "features".

    References: Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.
    arXiv:1607.01719, Eq. 1-3 and 6.
    """

    weight: NonNegative = 1.0
    layer: Literal["logits", "features"] = "logits"

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """weight * ||C_s - C_t||_F^2 / (4 d^2)."""
        return self.weight * covariance_gap(getattr(source, self.layer), getattr(target, self.layer))
