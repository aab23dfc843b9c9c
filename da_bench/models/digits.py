"""The networks with which papers and suites printed their numbers on digits, beside `Lenet` and `Dtn`."""

import flax.linen as nn

from da_bench.core.types import Array, Output
from da_bench.models.base import Network, register
from da_bench.models.heads import Head
from da_bench.models.layers import BatchNorm, Conv, Dense, max_pool


@register
class GaninMnist(Network):
    """DANN's network for MNIST -> MNIST-M: what two convolutions see are the features, its classifier is no line.

    Two 5x5 convolutions with 2x2 pooling and ReLU, whose flattened maps are the features; two layers of 100 and a
    linear one classify. pixels: side of the central square that it sees, 0: all there is; mean: subtracted from the
    inputs. References: Ganin et al., JMLR 2016. arXiv:1505.07818, Figure 4 (a) and section 5.2.
    """

    channels: tuple[int, ...] = (32, 48)
    hidden: tuple[int, ...] = (100, 100)
    pixels: int = 0
    mean: float = 0.0

    def setup(self) -> None:
        """Name the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in self.channels]
        self.head = Head(self.hidden, self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, d], logits [n, classes]; d is 768 of 28 pixels, 1200 of 32."""
        maps = (_central(inputs, self.pixels) if self.pixels else inputs) - self.mean
        for convolution in self.convolutions:
            maps = nn.relu(max_pool(convolution(maps)))
        features = maps.reshape(maps.shape[0], -1)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        return self.head(features)


def _central(inputs: Array, pixels: int) -> Array:
    top, left = ((side - pixels) // 2 for side in inputs.shape[1:3])
    if min(top, left) < 0:
        raise ValueError(f"pixels = {pixels} is more than the {inputs.shape[1]}x{inputs.shape[2]} of the inputs")
    return inputs[:, top : top + pixels, left : left + pixels]


@register
class ShotLenet(Network):
    """SHOT's network for MNIST and USPS: LeNet's convolutions, 256 normalised features, a weight-normalised classifier.

    Dropout is of half of the second convolution's channels, and of half of the features. References: the code of Liang
    et al., Do We Really Need to Access the Source Data?, ICML 2020. arXiv:2002.08546.
    """

    width: int = 256
    dropout: float = 0.5

    def setup(self) -> None:
        """Name the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in (20, 50)]
        self.channel_dropout = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
        self.bottleneck = Dense(self.width)
        self.norm = BatchNorm()
        self.feature_dropout = nn.Dropout(self.dropout)
        self.head = nn.WeightNorm(Dense(self.classes))

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, h, w, c] -> features [n, width], logits [n, classes]."""
        first, second = self.convolutions
        maps = nn.relu(max_pool(first(inputs)))
        maps = nn.relu(max_pool(self.channel_dropout(second(maps), deterministic=not train)))
        features = self.norm(self.bottleneck(maps.reshape(maps.shape[0], -1)), train)
        features = self.feature_dropout(features, deterministic=not train)
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


@register
class AdaDigits(Network):
    """pytorch-ada's network for digits of 32 pixels: three convolutions, 128 sigmoid features, three dense layers.

    All layers but the last have batch normalisation; dropout is of half of the classifier's first layer. References:
    github.com/criteo-research/pytorch-ada.
    """

    def setup(self) -> None:
        """Name the layers."""
        self.convolutions = [Conv(channels, 5, "VALID") for channels in (64, 64, 128)]
        self.norms = [BatchNorm() for _ in self.convolutions]
        self.hidden = [Dense(100) for _ in range(2)]
        self.hidden_norms = [BatchNorm() for _ in self.hidden]
        self.dropout = nn.Dropout(0.5)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, 32, 32, c] -> features [n, 128], logits [n, classes]."""
        maps = inputs
        *below, (last, norm) = zip(self.convolutions, self.norms, strict=True)
        for convolution, each in below:
            maps = nn.relu(max_pool(each(convolution(maps), train)))
        features = nn.sigmoid(norm(last(maps), train)).reshape(maps.shape[0], -1)
        return Output(features, self.classify(features, train))

    def classify(self, features: Array, train: bool = False) -> Array:
        """[n, 128] -> [n, classes]; train: by the rows' own statistics, and with dropout."""
        first = self.dropout(self._activated(0, features, train), deterministic=not train)
        return self.head(self._activated(1, first, train))

    def _activated(self, layer: int, x: Array, train: bool) -> Array:
        return nn.relu(self.hidden_norms[layer](self.hidden[layer](x), train))
