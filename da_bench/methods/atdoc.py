"""Auxiliary target domain-oriented classifier, with neighbourhood aggregation."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.config import Count, NonNegative
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.losses.clusters import nearest_neighbours
from da_bench.losses.entropy import conditional_entropy
from da_bench.methods._memory_bank import MemoryBank, bank_entries, empty_bank, update_bank
from da_bench.methods.base import Method, MethodSpec, MethodState, register
from da_bench.methods.trainer import Metrics, Trainer


@register
class Atdoc(Method):
    """ATDOC with neighbourhood aggregation (NA): target rows learn the vote of their nearest target neighbours.

    The mean of the stored predictions of the nearest neighbours gives the pseudo-label of a row (its most probable
    class) and the row's weight (that probability). The loss is the source cross-entropy + weight * p * the weighted
    mean of the target cross-entropies, at progress p. Stored predictions are sharpened and balanced: p_k^2 over the
    sum of p_k^2 over the batch, for each class k.

    Args:
        weight: lambda, >= 0.
        neighbours: m >= 1, the nearest in cosine; 5 as in the paper.

    Deviations: the memory starts empty, and unseen rows are no neighbours; the authors' starts with random features
    and even votes. A row's entry comes from its training step (dropout, batch statistics, before the update); the
    authors' code passes it again through the updated network in evaluation mode, and smooths the source labels by 0.1.

    References:
        Liang, Hu and Feng, Domain Adaptation with Auxiliary Target Domain-Oriented Classifier, CVPR 2021.
        arXiv:2007.04171, Section 3.2; authors' code.
    """

    weight: NonNegative = 1.0
    neighbours: Count = 5

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """Create the empty bank of features and sharpened predictions of the target rows."""
        return MethodState(memory=empty_bank(spec.output, spec.num_targets))

    def step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take one optimizer step, then store the features and predictions of the target rows."""
        key, weight = trainer.step_key(state), self.weight * trainer.progress(state)

        def objective(params: Tree) -> tuple[Array, tuple[Tree, Output, Metrics]]:
            dropout = named_key(key, "dropout")
            source, target, stats = trainer.forward_domains(params["model"], state.stats, batch, dropout)
            task = trainer.cross_entropy(source, batch.labels)
            term = weight * self.loss(target, state.memory, batch.rows)
            return task + term, (stats, target, trainer.metrics(task + term, task, term))

        gradients, (stats, target, metrics) = jax.grad(objective, has_aux=True)(state.params)
        entries = bank_entries(target.features, sharpen(target.logits))
        bank = update_bank(state.memory, batch.rows, entries)
        return trainer.apply_gradients(state, gradients, stats)._replace(memory=bank), metrics

    def loss(self, target: Output, bank: MemoryBank, rows: Array) -> Array:
        """Weighted mean cross-entropy with the neighbours' votes; 0 while no row has been seen.

        Args:
            target: output of the batch's target rows.
            bank: entries of all target rows.
            rows: [b] which rows of the bank the batch holds.
        """
        features = jax.lax.stop_gradient(target.features)
        nearest, exists = nearest_neighbours(features, rows, bank.features, bank.seen, self.neighbours)
        votes = jnp.sum(exists[:, :, None] * bank.predictions[nearest], axis=1) / self.neighbours
        losses = optax.softmax_cross_entropy_with_integer_labels(target.logits, votes.argmax(axis=1))
        weights = votes.max(axis=1)
        return jnp.sum(weights * losses) / jnp.maximum(weights.sum(), jnp.finfo(weights.dtype).tiny)

    def discrepancy(self, source: Output, target: Output) -> Array:
        """Mean entropy of the target predictions."""
        return conditional_entropy(target.logits)


def sharpen(logits: Array) -> Array:
    """p^2 divided by its sum over the rows, for each class: confident and balanced. p = softmax of logits [n, c]."""
    doubled = 2 * jax.nn.log_softmax(logits)
    return jnp.exp(doubled - jax.nn.logsumexp(doubled, axis=0, keepdims=True))
