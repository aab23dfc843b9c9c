"""Transfer learning without adaptation: a pretrained network as a feature extractor, or fine-tuned."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

import da_bench as da
from da_bench.core.config import Fraction, Positive
from da_bench.core.types import Array, Batch, TrainState, Tree, named_key
from da_bench.methods import Method, Trainer, register
from da_bench.methods.source_only import SourceOnly
from da_bench.models import last_stage, stage_numbers


@register(adapts=False)
class StagedFineTuning(Method):
    """Staged fine-tuning: train the head first, then unfreeze one stage of the trunk after another from the top.

    It minimises the cross-entropy on the source. A frozen stage is not updated and keeps its running batch statistics,
    but in training it is normalised by the statistics of the batch like the others. A network without stages has two:
    its classifier, and the rest.

    Args:
        head_first: share of the run in [0, 1] in which only the layers outside the trunk are trained. The remaining
            steps are divided evenly among the stages.
        decay: learning rate of a stage divided by that of the stage above it, positive; 1: all stages have the same
            learning rate, except for `Training.trunk_rate`.

    References:
        Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018, arXiv:1801.06146,
        Sections 3.2 and 3.3. As staged training of pretrained networks for images: Chollet, Deep Learning with Python,
        Section 5.3.
    """

    head_first: Fraction = 0.2
    decay: Positive = 1.0

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        """One optimizer step of the stages that are trained at this point."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
            return trainer.cross_entropy(output, batch.labels), stats

        (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        rates = self.relative_rates(trainer, state, state.params)
        gradients = jax.tree.map(lambda rate, gradient: jnp.where(rate > 0, gradient, 0), rates, gradients)
        after = trainer.apply_gradients(state, gradients, trainer.sync_target_stats(stats))
        params = jax.tree.map(_scale_update, rates, state.params, after.params)
        stats = jax.tree.map(
            lambda rate, old, new: jnp.where(rate > 0, new, old),
            self.relative_rates(trainer, state, state.stats),
            state.stats,
            after.stats,
        )
        return after._replace(params=params, stats=stats), {"loss": task, "task": task}

    def relative_rates(self, trainer: Trainer, state: TrainState, tree: Tree) -> Tree:
        """Factor of the learning rate of each array.

        Args:
            trainer: the trainer of the run.
            state: current state, for the progress of the run.
            tree: tree of arrays of the network, parameters or batch statistics.

        Returns:
            Tree of scalars like `tree`; 0 for a frozen array.
        """
        top = last_stage(trainer.model)
        unfrozen = (trainer.progress(state) - self.head_first) / (1 - self.head_first + 1e-9) * top

        def rate(stage: int) -> Array:
            return jnp.where((stage == top) | (unfrozen >= top - 1 - stage), self.decay ** (top - stage), 0.0)

        return jax.tree.map(rate, stage_numbers(trainer.model, tree))


def _scale_update(rate: Array, old: Array, new: Array) -> Array:
    """Parameters after a step with `rate` times the learning rate: all optimizers here are linear in it."""
    return jnp.where(rate > 0, old + rate * (new - old), old)


def feature_extraction(
    task: str, weights: str, head: Literal["linear", "mlp"] = "linear", **settings: Any
) -> "da.Experiment":
    """A head trained on the stored features of a frozen trunk: the simplest form of transfer learning.

    Args:
        task: name of the task.
        weights: name of imported weights.
        head: "linear" uses the features as they are; "mlp" adds a layer of 256 units.
        **settings: `training`, `view`, `labels_from`, `shots` and `seed` of the `Experiment`.

    Returns:
        The experiment.
    """
    model = da.models.build("mlp", hidden=()) if head == "linear" else da.models.build("bottleneck")
    return da.Experiment(task=task, method=SourceOnly(), model=model, features=weights, **settings)


def fine_tuned(method: Method, task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """A method that trains a whole pretrained network from images.

    Args:
        method: the method.
        task: name of the task.
        weights: name of imported weights.
        trunk_rate: learning rate of the trunk divided by that of the new layers, non-negative.
        **settings: as for `feature_extraction`.

    Returns:
        The experiment.
    """
    training = dataclasses.replace(settings.pop("training", da.Training()), trunk_rate=trunk_rate)
    model = da.pretrained.backbone(weights).clone(bottleneck=256)
    return da.Experiment(task=task, method=method, model=model, training=training, **settings)


def full_fine_tuning(task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """`fine_tuned` on the source only; arguments as there."""
    return fine_tuned(SourceOnly(), task, weights, trunk_rate, **settings)


def staged_fine_tuning(task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """`fine_tuned` with `StagedFineTuning`; arguments as there."""
    return fine_tuned(StagedFineTuning(), task, weights, trunk_rate, **settings)
