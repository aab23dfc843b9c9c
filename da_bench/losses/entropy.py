"""Entropies of predictions and what else is asked of the softmax of unlabelled rows."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array
from da_bench.losses.spectrum import singular_values


def row_entropies(logits: Array) -> Array:
    """[n] entropies in nats, 0 to log c, of the softmax of logits [n, c]; finite for any logits."""
    log_p = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_p) * log_p, axis=1)


def conditional_entropy(logits: Array) -> Array:
    """H(Y|X): the mean of `row_entropies` of logits [n, c] (Grandvalet and Bengio, NIPS 2004)."""
    return row_entropies(logits).mean()


def class_confusion(logits: Array, temperature: Array | float) -> Array:
    """Minimum class confusion of logits [n, c]: the mean over classes of what a class shares with others, in [0, 1].

    C = Y' W Y of the softmax Y at a temperature > 0, each row of C over its sum, without the diagonal; W holds the
    weights n (1 + exp(-H)) / (their sum), of the row entropies H and without a gradient (Jin et al. 2020,
    arXiv:1912.03699). A class that no row gives any probability adds nothing.
    """
    logits = logits / temperature
    certainty = 1.0 + jnp.exp(-jax.lax.stop_gradient(row_entropies(logits)))
    weights = logits.shape[0] * certainty / certainty.sum()
    p = jax.nn.softmax(logits)
    shared = jnp.matmul(p.T, weights[:, None] * p, precision=jax.lax.Precision.HIGHEST)
    share = shared / jnp.maximum(shared.sum(axis=1, keepdims=True), jnp.finfo(p.dtype).eps)
    return (share.sum() - jnp.trace(share)) / logits.shape[1]


def nuclear_norm(x: Array) -> Array:
    """The sum of the singular values of x [n, c].

    Its gradient is the least subgradient: singular values that rounding cannot tell from 0 have none.
    """
    values = singular_values(x)
    floor = max(x.shape) * jnp.finfo(x.dtype).eps * values[0]
    return jnp.sum(jnp.where(values > floor, values, 0.0))


def divergence(fixed: Array, logits: Array) -> Array:
    """Mean over rows of KL(p || q) in nats, p the softmax of `fixed` [n, c], without a gradient, q that of logits."""
    log_p = jax.nn.log_softmax(jax.lax.stop_gradient(fixed))
    return jnp.sum(jnp.exp(log_p) * (log_p - jax.nn.log_softmax(logits)), axis=1).mean()
