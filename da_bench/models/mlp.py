"""Fully connected network."""

from typing import Literal

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.layers import Dense


@register
class Mlp(Network):
    """Multilayer perceptron. Inputs [n, ...] are flattened; the last hidden layer is the feature layer.

    The default is the network of DANN's inter-twinning moons: one layer of 15 sigmoid units, with initial weights
    uniform within sqrt(6 / (in + out)).

    Attributes:
        hidden: units of the hidden layers.
        activation: of the hidden layers.

    References: Ganin et al., JMLR 2016. arXiv:1505.07818, Section 5.1.1 and the authors' code.
    """

    hidden: tuple[int, ...] = (15,)
    activation: Literal["sigmoid", "relu", "tanh"] = "sigmoid"

    def setup(self) -> None:
        """Build the layers."""
        glorot = nn.initializers.xavier_uniform()
        self.layers = [Dense(width, kernel_init=glorot) for width in self.hidden]
        self.head = Dense(self.classes, kernel_init=glorot)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, ...] -> features [n, hidden[-1]], logits [n, classes]."""
        features = inputs.reshape(inputs.shape[0], -1)
        for layer in self.layers:
            features = getattr(nn, self.activation)(layer(features))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, hidden[-1]] -> [n, classes]."""
        return self.head(features)
