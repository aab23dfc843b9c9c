"""Inputs of a method's own functions: the context of a loss, the spec of an initial state."""

import jax
import jax.numpy as jnp

from da_bench.methods import LossContext, MethodSpec


def loss_context(source, target, labels=None, params=None, *, constants=None, progress=0.5, key=0):
    """The context of a loss at `progress` in [0, 1] of a run of one step; labels default to zeros."""
    labels = jnp.zeros(len(source.features), jnp.int32) if labels is None else jnp.asarray(labels)
    key = jax.random.key(key) if isinstance(key, int) else key
    return LossContext(source, target, labels, params or {}, constants or {}, jnp.asarray(progress), 1, key)


def method_spec(output, num_targets=8, network_params=None, key=1):
    """The spec for outputs shaped like `output`."""
    return MethodSpec(output, num_targets, network_params or {}, jax.random.key(key))
