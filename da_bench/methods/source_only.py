"""Source-only training, the reference for every method."""

import jax

from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.methods.base import Method, register
from da_bench.methods.trainer import Metrics, Trainer


@register(adapts=False)
class SourceOnly(Method):
    """No adaptation: cross-entropy on the source alone.

    The network sees no target input, not even for batch statistics.
    """

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step on the source cross-entropy."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
            return trainer.cross_entropy(output, batch.labels), stats

        (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), {"loss": task, "task": task}

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """Predict both domains with the batch statistics of the source, the only ones there are."""
        stats = state.stats
        return state.params["model"], {**stats, "target": stats["source"]} if "source" in stats else stats
