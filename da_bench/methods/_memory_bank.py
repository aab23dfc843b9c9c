"""What a method keeps of every target row: the features and prediction of when it was last in a batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from da_bench.core.types import Array, Batch, Output, TrainState, Tree
from da_bench.methods._two_phase import Phased
from da_bench.methods.trainer import Metrics, Trainer


class Bank(NamedTuple):
    """Of the N target rows: features [N, d], predictions [N, c] that sum to 1, and whether they were seen, [N] bool."""

    features: jax.Array
    predictions: jax.Array
    seen: jax.Array


def empty(output: Output, targets: int) -> Bank:
    """Before any row was seen: no features, every class equally likely. output: shapes of the network's."""
    width, classes = output.features.shape[1], output.logits.shape[1]
    return Bank(jnp.zeros((targets, width)), jnp.full((targets, classes), 1 / classes), jnp.zeros(targets, bool))


def entries(features: Array, predictions: Array) -> Bank:
    """Of b rows that were seen just now, without their gradients: features [b, d] and predictions [b, c]."""
    return jax.lax.stop_gradient(Bank(jnp.asarray(features), jnp.asarray(predictions), jnp.ones(len(features), bool)))


def written(bank: Bank, rows: Array, new: Bank) -> Bank:
    """With the entries of some rows [b] made new ones, of b rows."""
    return jax.tree.map(lambda kept, of_rows: kept.at[rows].set(of_rows), bank, new)


class Banked(Phased):
    """A method of two phases with memory["bank"], of which `learn` and `adapt` hand on the entries of the batch's rows.

    Its memory may be empty instead.
    """

    def learn(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """A step of the first phase, and the entries as they were."""
        after, metrics = super().learn(trainer, state, batch)
        if state.memory:
            own = jax.tree.map(lambda kept: kept[batch.rows], state.memory["bank"])
            after = after._replace(memory={**state.memory, "bank": own})
        return after, metrics

    def keep(self, memory: Tree, new: Tree, rows: Array) -> Tree:
        """The bank with the new entries, and what else is new."""
        return {**new, "bank": written(memory["bank"], rows, new["bank"])} if memory else memory
