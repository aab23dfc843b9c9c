"""Information maximisation: certain about each row, undecided about all of them together."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array
from da_bench.losses.entropy import conditional_entropy


def marginal_divergence(logits: Array) -> Array:
    """KL of the mean prediction of logits [n, c] from the uniform one, log c - H(mean p), in nats, 0 to log c.

    SHOT's L_div (Liang et al. 2020, arXiv:2002.08546, Eq. 4) up to the constant log c; NRC's (Yang et al. 2021).
    Finite for any logits: the mean is taken of logarithms.
    """
    n, c = logits.shape
    log_mean = jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - jnp.log(n)
    return jnp.sum(jnp.exp(log_mean) * log_mean) + jnp.log(c)


def information_maximisation(logits: Array) -> Array:
    """Mean entropy + `marginal_divergence` of logits [n, c]: log c less the mutual information of row and class."""
    return conditional_entropy(logits) + marginal_divergence(logits)
