"""Sliced Wasserstein discrepancy."""

from da_bench.core.config import Count, NonNegative
from da_bench.core.types import Array, Batch, TrainState
from da_bench.losses.disagreement import random_directions, sliced_wasserstein_discrepancy
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.mcd import init_second_head, three_updates
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "weight_zero_is_source_only": "two classifiers learn the source, and the network learns from both",
    }
)
class Swd(Method):
    """Sliced Wasserstein discrepancy (SWD): MCD with a sliced Wasserstein distance in place of |p_1 - p_2|.

    The probabilities that the two classifiers give the target rows of a batch are two sets of points. Both are
    projected on random directions and sorted, and the squared differences are averaged. Updates, optimizer and
    prediction are those of `Mcd`.

    Args:
        weight: of the disagreement in the updates B and C, >= 0. The paper has none, hence 1.
        num_k: number of updates C per step, >= 1.
        projections: number of random directions per evaluation, >= 1; 128 as in the paper.

    References:
        Lee, Batra, Baig and Ulbricht, Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation, CVPR 2019.
        arXiv:1903.04064, Section 3, Algorithm 1.
    """

    weight: NonNegative = 1.0
    num_k: Count = 4
    projections: Count = 128

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the second classifier."""
        return MethodState(params=init_second_head(key, spec.output))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Make the updates A, B and C of `Mcd`."""
        return three_updates(trainer, state, batch, self._disagreement, self.num_k)

    def _disagreement(self, first: Array, second: Array, key: Array) -> Array:
        directions = random_directions(key, first.shape[1], self.projections).astype(first.dtype)
        return self.weight * sliced_wasserstein_discrepancy(first, second, directions)
