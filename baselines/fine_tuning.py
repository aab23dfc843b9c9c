"""Transfer learning: what a pretrained network gives without adaptation, on features or fine-tuned."""

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
    """Cross-entropy on the source, the head first; then stage after stage of the trunk is unfrozen, from the top down.

    head_first: share of the run in which only what is no part of the trunk is trained; what is left is divided among
    the stages evenly. decay: what the learning rate of a stage is multiplied by for the one below it; 1: all the same,
    but for `Training.trunk_rate`.

    A stage that is frozen takes no step and keeps its running averages of batch statistics; within a batch it is
    normalised as in training. A network without stages has two: its classifier, and the rest.

    References: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, ACL 2018,
    arXiv:1801.06146, Sections 3.2 and 3.3; as staged training of pretrained networks for images: Chollet, Deep
    Learning with Python, Section 5.3.
    """

    head_first: Fraction = 0.2
    decay: Positive = 1.0

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        """One step of the stages that are unfrozen by now."""
        key = named_key(trainer.step_key(state), "dropout")

        def objective(params: Tree) -> tuple[Array, Tree]:
            output, stats = trainer.forward(params["model"], state.stats, batch.source, key)
            return trainer.cross_entropy(output, batch.labels), stats

        (task, stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
        rates = self.rates(trainer, state, state.params)
        open_gradients = jax.tree.map(lambda rate, gradient: jnp.where(rate > 0, gradient, 0), rates, gradients)
        after = trainer.apply_gradients(state, open_gradients, trainer.sync_target_stats(stats))
        params = jax.tree.map(_moved, rates, state.params, after.params)
        kept = jax.tree.map(
            lambda rate, ours, theirs: jnp.where(rate > 0, theirs, ours),
            self.rates(trainer, state, state.stats),
            state.stats,
            after.stats,
        )
        return after._replace(params=params, stats=kept), {"loss": task, "task": task}

    def rates(self, trainer: Trainer, state: TrainState, tree: Tree) -> Tree:
        """Like a tree of the network's arrays, scalars: what each learning rate is multiplied by; 0: it is frozen."""
        top = last_stage(trainer.model)
        opened = (trainer.progress(state) - self.head_first) / (1 - self.head_first + 1e-9) * top

        def rate(stage: int) -> Array:
            return jnp.where((stage == top) | (opened >= top - 1 - stage), self.decay ** (top - stage), 0.0)

        return jax.tree.map(rate, stage_numbers(trainer.model, tree))


def _moved(rate: Array, ours: Array, theirs: Array) -> Array:
    """What a step with another learning rate would have made: all optimizers here move along their update."""
    return jnp.where(rate > 0, ours + rate * (theirs - ours), ours)


def feature_extraction(
    task: str, weights: str, head: Literal["linear", "mlp"] = "linear", **settings: Any
) -> "da.Experiment":
    """Training a head on the stored features of a frozen trunk: what transfer learning gives at least.

    weights: the name of imported ones. head: "linear", on the features as they are; "mlp", a layer of 256 units before
    it. settings: `training`, `view`, `labels_from`, `shots`, `seed` of the `Experiment`.
    """
    model = da.models.build("mlp", hidden=()) if head == "linear" else da.models.build("bottleneck")
    return da.Experiment(task=task, method=SourceOnly(), model=model, features=weights, **settings)


def fine_tuned(method: Method, task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """A method with all of a pretrained network, from images; its trunk `trunk_rate` times as fast as the new layers.

    weights: the name of imported ones. settings: as `feature_extraction`.
    """
    training = dataclasses.replace(settings.pop("training", da.Training()), trunk_rate=trunk_rate)
    model = da.pretrained.backbone(weights).clone(bottleneck=256)
    return da.Experiment(task=task, method=method, model=model, training=training, **settings)


def full_fine_tuning(task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """`fine_tuned` on the source alone."""
    return fine_tuned(SourceOnly(), task, weights, trunk_rate, **settings)


def staged_fine_tuning(task: str, weights: str, trunk_rate: float = 0.1, **settings: Any) -> "da.Experiment":
    """`StagedFineTuning` of a pretrained network, from images."""
    return fine_tuned(StagedFineTuning(), task, weights, trunk_rate, **settings)
