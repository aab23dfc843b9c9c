"""What a method keeps of every target row: the features and prediction of when it was last in a batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from da_bench.types import Array, Output


class Bank(NamedTuple):
    """Of the N target rows: features [N, d], predictions [N, c] that sum to 1, and whether they were seen, [N] bool."""

    features: jax.Array
    predictions: jax.Array
    seen: jax.Array


def empty(output: Output, targets: int) -> Bank:
    """Before any row was seen: no features, every class equally likely. output: shapes of the network's."""
    width, classes = output.features.shape[1], output.logits.shape[1]
    return Bank(jnp.zeros((targets, width)), jnp.full((targets, classes), 1 / classes), jnp.zeros(targets, bool))


def written(bank: Bank, rows: Array, features: Array, predictions: Array) -> Bank:
    """With those of some rows [b] made features [b, d] and predictions [b, c], without their gradients."""
    features, predictions = jax.lax.stop_gradient((features, predictions))
    return Bank(
        bank.features.at[rows].set(features),
        bank.predictions.at[rows].set(predictions),
        bank.seen.at[rows].set(True),
    )
