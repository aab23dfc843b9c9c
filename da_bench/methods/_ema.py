"""Exponential moving average of a network's parameters."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array, Tree


def ema_update(average: Tree, params: Tree, step: Array, decay: Array | float) -> Tree:
    """Return d * average + (1 - d) * params with d = min(decay, step / (step + 1)).

    The average is the plain mean of the first 1 / (1 - decay) parameters, so nothing of the random start remains.

    Args:
        average: the average before this update.
        params: the parameters after the optimizer's update.
        step: number of the step, from 0.
        decay: in [0, 1].

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NIPS 2017. arXiv:1703.01780, authors' code.
    """
    d = jnp.minimum(decay, step / (step + 1))
    return jax.tree.map(lambda old, new: d * old + (1 - d) * new, average, params)
