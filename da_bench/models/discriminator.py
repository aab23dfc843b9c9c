"""The domain classifier of adversarial methods."""

import flax.linen as nn
import jax.numpy as jnp

from da_bench.core.types import Array, Tree
from da_bench.models.layers import Dense


class Discriminator(nn.Module):
    """Features [n, d] -> logits [n] of "comes from the source"; ReLU layers of the given widths, none: logistic.

    undecided: at the start the last layer is 0, and all logits are.
    """

    widths: tuple[int, ...]
    undecided: bool = False

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """[n, d] -> [n]."""
        for width in self.widths:
            features = nn.relu(Dense(width)(features))
        last = Dense(1, kernel_init=nn.initializers.zeros) if self.undecided else Dense(1)
        return last(features)[:, 0]

    def parameters(self, key: Array, features: Array) -> Tree:
        """Fresh parameters for features shaped like `features` [n, d]."""
        return self.init(jnp.asarray(key), jnp.asarray(features))["params"]

    def judge(self, params: Tree, features: Array) -> Array:
        """Logits [n] of features [n, d] under `params`."""
        logits: Array = self.apply({"params": params}, features)  # type: ignore[assignment]
        return logits
