"""No adaptation: what every method is read against."""

import jax.numpy as jnp

from da_bench.methods.base import Penalty, register
from da_bench.types import Array, Output, Tree


@register
class SourceOnly(Penalty):
    """Cross-entropy on the source alone. The target batch passes through the network and leaves no gradient."""

    adapts = False

    def loss(self, params: Tree, source: Output, target: Output, labels: Array, progress: Array, key: Array) -> Array:
        """Nothing is added."""
        return jnp.zeros(())
