"""An auxiliary target-oriented classifier: the neighbours' vote."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.clusters import nearest_neighbours
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._memory_bank import Bank, empty, entries, written
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register
class Atdoc(Method):
    """Target rows learn the class for which their nearest neighbours among the target vote, as far as these agree.

    The neighbourhood aggregation of ATDOC (NA): the mean of the remembered predictions of the nearest `neighbours`
    gives label and weight of a row. Minimised is the source cross-entropy + weight * p * the mean of the target's
    cross-entropies, weighted so, p being the progress. What is remembered is sharpened and balanced: p_k^2 over the sum
    of p_k^2 over the batch, by class.

    weight: lambda. neighbours: m nearest in cosine, 5.

    The memory is filled as rows are seen, and rows not seen yet are nobody's neighbours; the authors' begins with
    random features and even votes. Remembered is what the training step itself made of a row, with dropout and the
    batch's statistics, before its update; the authors' code asks the updated network again, in evaluation, and smooths
    the source's labels by 0.1.

    References: Liang, Hu and Feng, Domain Adaptation with Auxiliary Target Domain-Oriented Classifier, CVPR 2021.
    arXiv:2007.04171, Section 3.2; authors' code.
    """

    weight: NonNegative = 1.0
    neighbours: Count = 5

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Features and sharpened predictions of the target rows."""
        return MethodState(memory=empty(spec.output, spec.num_targets))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """One optimizer step on the source cross-entropy + weight * p * the target's; then rows are remembered."""
        key, strength = trainer.step_key(state), self.weight * trainer.progress(state)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Output, Metrics]]:
            source, target, stats = trainer.forward_domains(
                params["model"], state.stats, batch, named_key(key, "dropout")
            )
            task = trainer.cross_entropy(source, batch.labels)
            gap = strength * self.loss(target, state.memory, batch.rows)
            return task + gap, (stats, target, trainer.metrics(task + gap, task, gap))

        gradients, (stats, target, metrics) = jax.grad(objective, has_aux=True)(state.params)
        bank = written(state.memory, batch.rows, entries(target.features, sharpened(target.logits)))
        return trainer.apply_gradients(state, gradients, stats)._replace(memory=bank), metrics

    def loss(self, target: Output, bank: Bank, rows: Array) -> Array:
        """The mean cross-entropy with the neighbours' vote, weighted by it; 0 before any row was seen."""
        features = jax.lax.stop_gradient(target.features)
        near, there = nearest_neighbours(features, rows, (bank.features, bank.seen), self.neighbours)
        vote = jnp.sum(there[:, :, None] * bank.predictions[near], axis=1) / self.neighbours
        losses = optax.softmax_cross_entropy_with_integer_labels(target.logits, vote.argmax(axis=1))
        weights = vote.max(axis=1)
        return jnp.sum(weights * losses) / jnp.maximum(weights.sum(), jnp.finfo(weights.dtype).tiny)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """The mean entropy of the target's predictions."""
        return conditional_entropy(target.logits)


def sharpened(logits: Array) -> Array:
    """[n, c] p^2 over its sum over the rows, by class: certain, and no class more than another. p: of logits [n, c]."""
    doubled = 2 * jax.nn.log_softmax(logits)
    return jnp.exp(doubled - jax.nn.logsumexp(doubled, axis=0, keepdims=True))
