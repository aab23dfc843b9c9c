"""Adaptive batch normalisation."""

import jax

from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.methods.base import Method, register
from da_bench.methods.trainer import Metrics, Trainer, require_batch_norm


@register(
    expected_failures={
        "lowers_what_it_says": "unless batch_norm is domain_specific, the target's averages predict the source too",
    },
    needs_batch_norm=True,
)
class AdaBn(Method):
    """Adaptive batch normalisation (AdaBN): train on the source, predict with the batch statistics of the target.

    It has no fields: the parameters are those of source-only training. The running averages come from target batches,
    in a pass of their own without a gradient; the paper computes them once, from the whole target, at the end. With
    `Training.batch_norm` = "domain_specific" each domain is predicted with its own statistics, as in the paper;
    otherwise both are predicted with the target's.

    Raises:
        UserError: the network has no batch normalisation.

    References:
        Li, Wang, Shi, Liu and Hou, Revisiting Batch Normalization For Practical Domain Adaptation, ICLR Workshop 2017.
        arXiv:1603.04779, Algorithm 1.
    """

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step on the source cross-entropy, and pass the target for its statistics."""
        require_batch_norm("AdaBn", state.stats)
        key = trainer.step_key(state)

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, named_key(key, "dropout"))
            return trainer.cross_entropy(output, batch.labels), stats

        (task, source_stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        stats = source_stats if trainer.batch_norm == "domain_specific" else state.stats
        _, stats = trainer.forward(state.params["model"], stats, batch.target, named_key(key, "target"), "target")
        return trainer.apply_gradients(state, gradients, stats), {"loss": task, "task": task}
