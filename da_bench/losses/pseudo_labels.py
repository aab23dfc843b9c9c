"""Self-training: cross-entropy with a network's own confident predictions."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.types import Array


def confident_cross_entropy(logits: Array, probabilities: Array, threshold: Array | float) -> Array:
    """Mean over all rows of the cross-entropy of logits [n, c] with the likeliest class of `probabilities` [n, c].

    Rows whose largest probability is below `threshold` count as 0. No gradient passes through the probabilities.
    FixMatch, Eq. 4 (Sohn et al. 2020, arXiv:2001.07685).
    """
    probabilities = jax.lax.stop_gradient(probabilities)
    labels, confident = probabilities.argmax(axis=1), probabilities.max(axis=1) >= threshold
    return jnp.mean(confident * optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def aligned(target: Array, source: Array) -> Array:
    """Target probabilities [m, c] times the mean of source [n, c] over their own mean, made to sum to 1.

    AdaMatch's distribution alignment (Berthelot et al. 2022, arXiv:2106.04732, Section 3.3), of this batch; 1e-6 is
    added to both means, as in the authors' code.
    """
    ratio = (source.mean(axis=0) + 1e-6) / (target.mean(axis=0) + 1e-6)
    moved = target * ratio[None, :]
    return moved / jnp.maximum(moved.sum(axis=1, keepdims=True), jnp.finfo(moved.dtype).tiny)
