"""Adaptive batch normalisation."""

import jax

from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.methods._two_phase import require_batch_norm, smoothed_cross_entropy
from da_bench.methods.base import Method, register
from da_bench.methods.trainer import Metrics, Trainer


@register(
    expected_failures={
        "lowers_what_it_says": "but for batch_norm domain_specific, the target's averages predict the source too",
    },
    needs_batch_norm=True,
)
class AdaBn(Method):
    """The network learns the source alone; the batch statistics by which it predicts are the target's.

    There is nothing to weigh: parameters are those of source only. Running averages are made of target batches, in a
    pass of their own, without a gradient; the paper computes them from all of the target at the end. With
    `batch_norm` = "domain_specific" each domain is predicted by its own, as in the paper; else both by the target's.

    Raises a UserError where the network has no batch normalisation.

    References: Li, Wang, Shi, Liu and Hou, Revisiting Batch Normalization For Practical Domain Adaptation, ICLR
    Workshop 2017. arXiv:1603.04779, Algorithm 1.
    """

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on the source cross-entropy, and one pass over the target for its statistics."""
        require_batch_norm("AdaBn", state.stats)
        key = trainer.step_key(state)

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, named_key(key, "dropout"))
            return smoothed_cross_entropy(output, batch.labels, 0.0), stats

        (task, ours), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        held = ours if trainer.batch_norm == "domain_specific" else state.stats
        _, stats = trainer.forward(state.params["model"], held, batch.target, named_key(key, "target"), "target")
        return trainer.apply_gradients(state, gradients, stats), {"loss": task, "task": task}
