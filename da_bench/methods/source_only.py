"""No adaptation: what every method is read against."""

import jax
import optax

from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.methods.base import Method, Metrics, Trainer, register


@register
class SourceOnly(Method):
    """Cross-entropy on the source alone. The network never sees a target input, not even for batch statistics."""

    adapts = False

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on the source cross-entropy."""
        key = named_key(jax.random.fold_in(state.key, state.step), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
            return optax.softmax_cross_entropy_with_integer_labels(output.logits, batch.labels).mean(), stats

        (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        return trainer.apply_gradients(state, gradients, stats), {"loss": task, "task": task}

    def inference_variables(self, state: TrainState) -> tuple[Tree, Tree]:
        """The source's statistics for both domains: there are no others."""
        stats = state.stats
        return state.params["model"], {**stats, "target": stats["source"]} if "source" in stats else stats
