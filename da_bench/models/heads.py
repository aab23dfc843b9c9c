"""Small networks over features: additional classifiers, and the domain classifier of adversarial methods."""

import flax.linen as nn
import jax.numpy as jnp

from da_bench.core.types import Array, Tree
from da_bench.models.layers import Dense


class _FeatureNetwork(nn.Module):
    """Network over features whose parameters are kept by its caller."""

    def init_params(self, key: Array, features: Array) -> Tree:
        """Draw initial parameters for features shaped like `features` [n, d]."""
        return self.init(jnp.asarray(key), jnp.asarray(features))["params"]

    def logits(self, params: Tree, features: Array) -> Array:
        """Logits of features [n, d] with the given parameters."""
        logits: Array = self.apply({"params": params}, features)  # type: ignore[assignment]
        return logits


class Head(_FeatureNetwork):
    """Additional classifier next to that of the network: features [n, d] -> logits [n, classes].

    Attributes:
        widths: units of the ReLU layers; () makes the classifier linear.
        classes: number of logits.
    """

    widths: tuple[int, ...]
    classes: int

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Map features [n, d] to logits [n, classes]."""
        for width in self.widths:
            features = nn.relu(Dense(width)(features))
        return Dense(self.classes)(features)


class Discriminator(_FeatureNetwork):
    """Domain classifier: features [n, d] -> logits [n] of "comes from the source".

    Attributes:
        widths: units of the ReLU layers; () makes it a logistic regression.
        zero_init: initialise the last kernel with zeros, so that all logits are 0 at the start.
    """

    widths: tuple[int, ...]
    zero_init: bool = False

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Map features [n, d] to logits [n]."""
        for width in self.widths:
            features = nn.relu(Dense(width)(features))
        last = Dense(1, kernel_init=nn.initializers.zeros) if self.zero_init else Dense(1)
        return last(features)[:, 0]
