"""A memory bank: features and predictions of every target row, from when the row was last in a batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from da_bench.core.types import Array, Batch, Output, TrainState, Tree
from da_bench.methods._two_phase import TwoPhaseMethod
from da_bench.methods.trainer import Metrics, Trainer


class MemoryBank(NamedTuple):
    """Entries of the N target rows, or of some of them.

    Args:
        features: [N, d].
        predictions: [N, c] probabilities.
        seen: [N] bool, whether the row has been in a batch.
    """

    features: jax.Array
    predictions: jax.Array
    seen: jax.Array


def empty_bank(output: Output, num_targets: int) -> MemoryBank:
    """Return the bank before the first step: features of zeros, even predictions, no row seen.

    Args:
        output: of the shapes of the network's output.
        num_targets: number of target rows.
    """
    d, c = output.features.shape[1], output.logits.shape[1]
    return MemoryBank(jnp.zeros((num_targets, d)), jnp.full((num_targets, c), 1 / c), jnp.zeros(num_targets, bool))


def bank_entries(features: Array, predictions: Array) -> MemoryBank:
    """Return the entries of a batch's rows, features [b, d] and predictions [b, c], without their gradients."""
    seen = jnp.ones(len(features), bool)
    return jax.lax.stop_gradient(MemoryBank(jnp.asarray(features), jnp.asarray(predictions), seen))


def update_bank(bank: MemoryBank, rows: Array, entries: MemoryBank) -> MemoryBank:
    """Return the bank with new entries in the given rows [b]."""
    return jax.tree.map(lambda old, new: old.at[rows].set(new), bank, entries)


class MemoryBankMethod(TwoPhaseMethod):
    """A two-phase method with memory["bank"], or with an empty memory.

    Both phases return, in place of the bank, only the entries of the batch's rows.
    """

    def source_step(self, trainer: Trainer, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        """Take a step of the first phase, which leaves the entries unchanged."""
        after, metrics = super().source_step(trainer, state, batch)
        if state.memory:
            entries = jax.tree.map(lambda leaf: leaf[batch.rows], state.memory["bank"])
            after = after._replace(memory={**state.memory, "bank": entries})
        return after, metrics

    def merge_memory(self, memory: Tree, new: Tree, rows: Array) -> Tree:
        """Write the entries into the bank; all other memory is the new one."""
        return {**new, "bank": update_bank(memory["bank"], rows, new["bank"])} if memory else memory
