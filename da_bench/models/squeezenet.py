"""SqueezeNet 1.1.

References: Iandola et al., SqueezeNet, 2016. arXiv:1602.07360; release 1.1 by its authors, as in torchvision.
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
TORCHVISION_INDICES = dict(zip(("conv1", *SQUEEZED), ("0", "3", "4", "6", "7", "9", "10", "11", "12"), strict=True))


class _Fire(nn.Module):
    """[n, h, w, c] -> [n, h, w, 8 squeezed]: squeeze to few channels, then 1x1 and 3x3 convolutions side by side."""

    squeezed: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[n, h, w, c] -> [n, h, w, 8 squeezed]."""
        squeezed = nn.relu(_convolution(self.squeezed, 1, "squeeze")(inputs))
        expanded = [_convolution(4 * self.squeezed, size, f"expand{size}x{size}")(squeezed) for size in (1, 3)]
        return nn.relu(jnp.concatenate(expanded, axis=-1))


def _convolution(features: int, size: int, name: str) -> Conv:
    return Conv(features, size, "SAME", kernel_init=KAIMING, name=name)


class _Trunk(nn.Module):
    """[n, h, w, 3] -> [n, 512], or the maps [n, h' w' 512] if not pooled."""

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
    """3x3 max pooling of stride 2; incomplete windows at the end count."""
    return max_pool(pad_for_max_pool(maps, 0, 1), 3, 2)


@register
class Squeezenet(Backbone):
    """SqueezeNet 1.1 for images [n, h, w, 3] of any size from 32 pixels; 512 features.

    The published classifier is not linear in pooled features: it is a 1x1 convolution, then ReLU, then the mean over
    all positions.

    Attributes:
        pooled: True: the features are means over positions, and the classifier is linear in them. It starts from the
            published classifier but gives other logits. False, which needs bottleneck = None: the features are the maps
            themselves, 13 x 13 x 512 numbers for an image of 224 pixels, and the logits are exactly the published ones.
        dropout: rate of the maps in training.
    """

    STAGES: ClassVar[tuple[str, ...]] = tuple(TORCHVISION_INDICES)
    CONVENTIONS: ClassVar[tuple[str, ...]] = ("torchvision", "keras")

    pooled: bool = True
    dropout: float = 0.5

    def make_trunk(self) -> nn.Module:
        """See `Backbone`."""
        if not self.pooled and self.bottleneck is not None:
            raise UserError("squeezenet with pooled = False is the published network: set bottleneck = None")
        return _Trunk(self.pooled, self.dropout)

    def classify(self, features: Array) -> Array:
        """[n, d] -> [n, classes]."""
        if self.pooled:
            return self.head(features)
        positions = features.reshape(features.shape[0], -1, FEATURES)
        return nn.relu(self.head(positions)).mean(axis=1)

    @nn.nowrap
    def published_arrays(self, convention: str) -> Iterator[PublishedArray]:
        """See `Backbone`. fire2/squeeze/kernel is features.3.squeeze.weight, or fire2/squeeze1x1/kernel in Keras."""
        self.check_convention(convention)
        for path in self.array_paths():
            if convention == "keras":
                yield _keras_array(path)
                continue
            first, *rest = path[2:-1] or ("",)
            module = ".".join(["features", TORCHVISION_INDICES[first], *rest]) if first else "classifier.1"
            array = torch_array(path, module)
            yield array._replace(convert=_flatten_1x1_kernel) if path[1:] == ("head", "kernel") else array


def _keras_array(path: tuple[str, ...]) -> PublishedArray:
    """Name in Keras' files; the classifier, conv10, is a 1x1 convolution there too."""
    layer = "/".join(path[2:-1]).replace("squeeze", "squeeze1x1") or "conv10"
    convert = (lambda kernel: kernel[0, 0]) if path[1:] == ("head", "kernel") else np.asarray
    return PublishedArray(path, f"{layer}/{path[-1]}", convert)


def _flatten_1x1_kernel(weight: np.ndarray) -> np.ndarray:
    """A 1x1 convolution [classes, d, 1, 1] -> [d, classes]."""
    return weight[:, :, 0, 0].T
