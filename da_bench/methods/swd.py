"""Sliced Wasserstein discrepancy."""

from da_bench.core.config import Count, NonNegative
from da_bench.core.types import Array, Batch, TrainState
from da_bench.losses.disagreement import random_directions, sliced_wasserstein_discrepancy
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.mcd import second_head, three_steps
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "weight_zero_is_source_only": "two classifiers learn the source, and the network from both",
    }
)
class Swd(Method):
    """Maximum classifier discrepancy with the sliced Wasserstein distance in place of |p_1 - p_2|.

    The two classifiers' probabilities for the target rows of a batch are two sets of points; both are projected on
    random directions and sorted, and the squared differences averaged. Steps, optimizer and prediction are those of
    `Mcd`.

    weight: of the disagreement, in B and in C; the paper has none, so 1. num_k: how often C is made. projections:
    random directions of each evaluation, 128 as in the paper.

    References: Lee, Batra, Baig and Ulbricht, Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation, CVPR
    2019. arXiv:1903.04064, Section 3, Algorithm 1.
    """

    weight: NonNegative = 1.0
    num_k: Count = 4
    projections: Count = 128

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The second classifier's parameters."""
        return MethodState(params=second_head(key, spec.output))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Steps A, B and C."""
        return three_steps(trainer, state, batch, self._gap, self.num_k)

    def _gap(self, first: Array, second: Array, key: Array) -> Array:
        directions = random_directions(key, first.shape[1], self.projections).astype(first.dtype)
        return self.weight * sliced_wasserstein_discrepancy(first, second, directions)
