"""Entropies of predictions and what else is asked of the softmax of unlabelled rows."""

import jax
import jax.numpy as jnp

from da_bench.types import Array


def row_entropies(logits: Array) -> Array:
    """[n] entropies in nats, 0 to log c, of the softmax of logits [n, c]; finite for any logits."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_p) * log_p, axis=1)


def conditional_entropy(logits: Array) -> Array:
    """H(Y|X): the mean of `row_entropies` of logits [n, c] (Grandvalet and Bengio, NIPS 2004)."""
    return row_entropies(logits).mean()
