"""Self-training with the network's own confident predictions."""

import jax
import jax.numpy as jnp
import optax

from da_bench.core.types import Array


def confident_cross_entropy(logits: Array, probabilities: Array, threshold: Array | float) -> Array:
    """Cross-entropy with pseudo-labels, where rows below a confidence threshold count as 0.

    Convention: the mean is taken over all rows, not over the confident ones.

    Args:
        logits: [n, c] predictions to be trained.
        probabilities: [n, c] class probabilities that give the pseudo-labels; they receive no gradient.
        threshold: least probability in [0, 1] of a pseudo-label that counts.

    References: Sohn et al. (FixMatch), NeurIPS 2020. arXiv:2001.07685, Eq. 4.
    """
    probabilities = jax.lax.stop_gradient(probabilities)
    labels, confident = probabilities.argmax(axis=1), probabilities.max(axis=1) >= threshold
    return jnp.mean(confident * optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def align_distribution(target: Array, source: Array) -> Array:
    """AdaMatch's distribution alignment: rescale target probabilities to the mean prediction of the source.

    Target probabilities are multiplied by mean(source) / mean(target) of this batch and normalised to sum to 1. As in
    the authors' code, 1e-6 is added to both means.

    Args:
        target: [m, c] class probabilities.
        source: [n, c] class probabilities.

    Returns:
        [m, c] class probabilities.

    References: Berthelot et al., ICLR 2022. arXiv:2106.04732, Section 3.3.
    """
    ratio = (source.mean(axis=0) + 1e-6) / (target.mean(axis=0) + 1e-6)
    rescaled = target * ratio[None, :]
    return rescaled / jnp.maximum(rescaled.sum(axis=1, keepdims=True), jnp.finfo(rescaled.dtype).tiny)
