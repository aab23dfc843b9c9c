"""Test entropy minimisation."""

import jax

from da_bench.core.config import Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._two_phase import TwoPhaseMethod
from da_bench.methods.base import register
from da_bench.methods.trainer import Metrics, Trainer, require_batch_norm


@register(
    expected_failures={"gains_on_moved_domains": "scales and shifts alone move the clusters too little here"},
    needs_batch_norm=True,
)
class Tent(TwoPhaseMethod):
    """Test entropy minimisation (Tent): first the source, then only the scales and shifts of batch normalisation.

    The second phase sees the target alone, normalised by the statistics of its batches, and minimises the mean entropy
    of its predictions.

    Args:
        weight: of the entropy, >= 0; 1 as in the paper.
        pretrain: share of the run that trains on the source, in [0, 1].
        restart: whether the second phase starts with a fresh optimizer and learning rate; otherwise they continue. The
            paper starts Adam at 1e-3.

    Deviations: the paper adapts while it predicts, with the statistics of the batch that it predicts. Here no
    prediction depends on another row: running averages over the target batches of training are used.

    Raises:
        UserError: the network has no batch normalisation.

    References:
        Wang, Shelhamer, Liu, Olshausen and Darrell, Tent: Fully Test-Time Adaptation by Entropy Minimization, ICLR
        2021. arXiv:2006.10726, Section 3.
    """

    weight: NonNegative = 1.0
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one step of the current phase."""
        require_batch_norm("Tent", state.stats)
        return super().step(trainer, state, batch)

    def target_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Update the scales and shifts on the target."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            target, stats = trainer.forward(params["model"], state.stats, batch.target, key, "target")
            return self.weight * conditional_entropy(target.logits), stats

        (loss, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        mask = {"model": trainer.batch_norm_mask(state.params["model"], state.stats), "method": False}
        return trainer.apply_gradients(state, gradients, stats, mask), trainer.metrics(loss, alignment=loss)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)
