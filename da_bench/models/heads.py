"""A classifier beside the network's own."""

import flax.linen as nn
import jax.numpy as jnp

from da_bench.core.types import Array, Tree
from da_bench.models.layers import Dense


class Head(nn.Module):
    """Features [n, d] -> logits [n, classes]; ReLU layers of the given widths, none: linear."""

    widths: tuple[int, ...]
    classes: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        for width in self.widths:
            features = nn.relu(Dense(width)(features))
        return Dense(self.classes)(features)

    def parameters(self, key: Array, features: Array) -> Tree:
        """Fresh parameters for features shaped like `features` [n, d]."""
        return self.init(jnp.asarray(key), jnp.asarray(features))["params"]

    def logits(self, params: Tree, features: Array) -> Array:
        """Logits [n, classes] of features [n, d] under `params`."""
        logits: Array = self.apply({"params": params}, features)  # type: ignore[assignment]
        return logits
