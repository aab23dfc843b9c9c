"""What it costs to make a labelled source row a target row whose class is predicted."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def label_cross_entropies(labels: Array, logits: Array) -> Array:
    """[n, m] -log p_j(y_i) for labels [n] of the source and logits [m, c] of the target."""
    return -jax.nn.log_softmax(logits)[:, labels].T


def label_distances(labels: Array, logits: Array) -> Array:
    """[n, m] squared Euclidean distances, in [0, 2], of the one-hot y_i to p_j; arguments as above."""
    p = jax.nn.softmax(logits)
    return 1 + jnp.sum(p**2, axis=1)[None, :] - 2 * p[:, labels].T
