"""SqueezeNet 1.1.

References: Iandola et al., SqueezeNet, 2016. arXiv:1602.07360; release 1.1 by its authors, as torchvision has it.
"""

from collections.abc import Iterator
from typing import ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.models.backbone import Backbone
from da_bench.models.base import register
from da_bench.models.layers import Conv, max_pool, pad_for_max_pool
from da_bench.models.weight_names import PublishedArray, torch_array

SQUEEZED = {"fire2": 16, "fire3": 16, "fire4": 32, "fire5": 32, "fire6": 48, "fire7": 48, "fire8": 64, "fire9": 64}
FEATURES = 512
KAIMING = nn.initializers.variance_scaling(2.0, "fan_in", "uniform")
TORCHVISION = dict(zip(("conv1", *SQUEEZED), ("0", "3", "4", "6", "7", "9", "10", "11", "12"), strict=True))


class _Fire(nn.Module):
    """[n, h, w, c] -> [n, h, w, 8 squeezed]: few channels, then 1x1 and 3x3 convolutions of them side by side."""

    squeezed: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[n, h, w, c] -> [n, h, w, 8 squeezed]."""
        few = nn.relu(_convolution(self.squeezed, 1, "squeeze")(inputs))
        expanded = [_convolution(4 * self.squeezed, size, f"expand{size}x{size}")(few) for size in (1, 3)]
        return nn.relu(jnp.concatenate(expanded, axis=-1))


def _convolution(features: int, size: int, name: str) -> Conv:
    return Conv(features, size, "SAME", kernel_init=KAIMING, name=name)


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 512], or, not pooled, the maps [n, h' w' 512]."""

    pooled: bool
    dropout: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[n, h, w, 3] -> [n, d]."""
        maps = _pool(nn.relu(Conv(64, 3, stride=2, kernel_init=KAIMING, name="conv1")(inputs)))
        for name, squeezed in SQUEEZED.items():
            maps = _Fire(squeezed, name=name)(maps)
            if name in ("fire3", "fire5"):
                maps = _pool(maps)
        maps = nn.Dropout(self.dropout, deterministic=not train)(maps)
        return maps.mean(axis=(1, 2)) if self.pooled else maps.reshape(maps.shape[0], -1)


def _pool(maps: Array) -> Array:
    """3x3 of stride 2; what is left over at the end gets a window too."""
    return max_pool(pad_for_max_pool(maps, 0, 1), 3, 2)


@register
class Squeezenet(Backbone):
    """SqueezeNet 1.1 for images [n, h, w, 3] of any size from 32 pixels on; 512 features.

    The published classifier is no linear map of pooled features: a 1x1 convolution, then ReLU, then the mean over all
    places. pooled: True, the features are the means over places, the classifier is linear on them, and starts from the
    published one, whose logits are then others; False, with bottleneck None: the features are the maps themselves,
    13 x 13 x 512 numbers of an image of 224 pixels, and the classifier is the published one, to the last digit.
    dropout: of the maps in training.
    """

    STAGES: ClassVar[tuple[str, ...]] = tuple(TORCHVISION)
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")

    pooled: bool = True
    dropout: float = 0.5

    def make_trunk(self) -> nn.Module:
        """The trunk."""
        if not self.pooled and self.bottleneck is not None:
            raise UserError("squeezenet with pooled = False is the published network: it takes bottleneck = None")
        return _Trunk(self.pooled, self.dropout)

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        if self.pooled:
            return self.head(features)
        places = features.reshape(features.shape[0], -1, FEATURES)
        return nn.relu(self.head(places)).mean(axis=1)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """Every array; fire2/squeeze/kernel is features.3.squeeze.weight, or fire2/squeeze1x1/kernel in Keras."""
        self.check_convention(convention)
        for path in self.array_paths():
            if convention == "keras":
                yield _in_keras(path)
                continue
            first, *rest = path[2:-1] or ("",)
            one = torch_array(path, ".".join(["features", TORCHVISION[first], *rest]) if first else "classifier.1")
            yield one._replace(convert=_of_one_place) if path[1:] == ("head", "kernel") else one


def _in_keras(path: tuple[str, ...]) -> PublishedArray:
    """Keras' names; its classifier, conv10, is a 1x1 convolution too."""
    layer = "/".join(path[2:-1]).replace("squeeze", "squeeze1x1") or "conv10"
    turned = (lambda kernel: kernel[0, 0]) if path[1:] == ("head", "kernel") else np.asarray
    return PublishedArray(path, f"{layer}/{path[-1]}", turned)


def _of_one_place(weight: np.ndarray) -> np.ndarray:
    """A 1x1 convolution [classes, d, 1, 1] -> [d, classes]."""
    return weight[:, :, 0, 0].T
