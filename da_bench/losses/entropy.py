"""Entropies of predictions, information maximisation and class confusion. Entropies are in nats."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


def row_entropies(logits: Array) -> Array:
    """Entropy of the softmax of every row; finite for any finite logits.

    Args:
        logits: [n, c].

    Returns:
        [n] values in [0, log c].
    """
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_p) * log_p, axis=1)


def conditional_entropy(logits: Array) -> Array:
    """H(Y|X): the mean of `row_entropies` of logits [n, c], in [0, log c].

    References: Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization, NIPS 2004.
    """
    return row_entropies(logits).mean()


def marginal_divergence(logits: Array) -> Array:
    """KL divergence of the mean prediction from the uniform distribution: log c - H(mean p).

    It is computed from logarithms, so it is finite for any finite logits.

    Args:
        logits: [n, c].

    Returns:
        Scalar in [0, log c].

    References: Liang et al. (SHOT), ICML 2020. arXiv:2002.08546, Eq. 4, L_div up to the constant log c; Yang et al.
        (NRC), NeurIPS 2021.
    """
    n, c = logits.shape
    log_mean = jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - jnp.log(n)
    return jnp.sum(jnp.exp(log_mean) * log_mean) + jnp.log(c)


def information_maximisation(logits: Array) -> Array:
    """Conditional entropy plus `marginal_divergence` of logits [n, c]: log c minus the mutual information I(X; Y).

    It is small where every row has a certain prediction and all classes are predicted equally often.
    """
    return conditional_entropy(logits) + marginal_divergence(logits)


def kl_divergence(fixed_logits: Array, logits: Array) -> Array:
    """Mean over rows of KL(p || q).

    Args:
        fixed_logits: [n, c]; p is their softmax and receives no gradient.
        logits: [n, c]; q is their softmax.
    """
    log_p = jax.nn.log_softmax(jax.lax.stop_gradient(fixed_logits))
    return jnp.sum(jnp.exp(log_p) * (log_p - jax.nn.log_softmax(logits)), axis=1).mean()


def class_confusion(logits: Array, temperature: Array | float) -> Array:
    """Minimum class confusion: the mean over classes of the share of a class that is confused with other classes.

    With the softmax Y at the given temperature, C = Y' W Y; every row of C is divided by its sum, and the
    off-diagonal entries are summed and divided by c. W is diagonal with the weights n (1 + exp(-H)) / (their sum),
    H being the row entropies; the weights receive no gradient. A class to which no row gives any probability
    contributes 0.

    Args:
        logits: [n, c].
        temperature: scalar > 0; the paper uses 2.5.

    Returns:
        Scalar in [0, 1].

    References: Jin et al., ECCV 2020. arXiv:1912.03699.
    """
    logits = logits / temperature
    certainty = 1.0 + jnp.exp(-jax.lax.stop_gradient(row_entropies(logits)))
    weights = logits.shape[0] * certainty / certainty.sum()
    p = jax.nn.softmax(logits)
    confusion = jnp.matmul(p.T, weights[:, None] * p, precision=jax.lax.Precision.HIGHEST)
    shares = confusion / jnp.maximum(confusion.sum(axis=1, keepdims=True), jnp.finfo(p.dtype).eps)
    return (shares.sum() - jnp.trace(shares)) / logits.shape[1]
