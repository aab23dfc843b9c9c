"""Test entropy minimisation."""

import jax

from da_bench.core.config import Fraction, NonNegative, field
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._two_phase import Phased, require_batch_norm
from da_bench.methods.base import register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "gains_on_moved_domains": "scales and shifts alone move the clusters too little here",
    },
    needs_batch_norm=True,
)
class Tent(Phased):
    """First the source; then only the scales and shifts of batch normalisation move, towards certain predictions.

    The second phase sees the target alone, normalised by its batches' statistics, and lowers the mean entropy of its
    predictions.

    weight: of the entropy (1 in the paper), by which its step is longer than a step on the source. pretrain: share of
    the run that learns the source. restart: whether the second phase begins with an optimizer and a learning rate of
    its own, else they go on; the paper begins Adam at 1e-3.

    The paper adapts while it predicts, with the statistics of the batch that it predicts; here no prediction depends
    on another row, so it is by running averages of the target batches seen.

    Raises a UserError where the network has no batch normalisation.

    References: Wang, Shelhamer, Liu, Olshausen and Darrell, Tent: Fully Test-Time Adaptation by Entropy Minimization,
    ICLR 2021. arXiv:2006.10726, Section 3.
    """

    weight: NonNegative = 1.0
    pretrain: Fraction = 0.5
    restart: bool = field(default=False, since="0.1")

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One step of the phase in which the run is."""
        require_batch_norm("Tent", state.stats)
        return super().step(trainer, state, batch)

    def adapt(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the scales and shifts on the target."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            target, stats = trainer.forward(params["model"], state.stats, batch.target, key, "target")
            return self.weight * conditional_entropy(target.logits), stats

        (loss, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        moves = {"model": trainer.batch_norm_mask(state.params["model"], state.stats), "method": False}
        metrics = trainer.metrics(loss, alignment=loss)
        return trainer.apply_gradients(state, gradients, stats, moves), metrics

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)
