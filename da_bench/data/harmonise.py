"""Images of two domains, made the same size and the same number of channels."""

import numpy as np

from da_bench.core.types import Array


def match_images(source: Array, target: Array) -> tuple[Array, Array]:
    """Both with the larger side of the two and, where one has colours, with three channels.

    For square images uint8 [n, side, side, 1 or 3] that differ in shape, such as MNIST and SVHN; anything else is
    returned as it is. Grey is repeated three times, sides grow by Pillow's bilinear filter.
    """
    if source.shape[1:] == target.shape[1:] or not (_square(source) and _square(target)):
        return source, target
    side, channels = (max(source.shape[axis], target.shape[axis]) for axis in (1, 3))
    return _as(source, side, channels), _as(target, side, channels)


def _square(inputs: Array) -> bool:
    return inputs.dtype == np.uint8 and inputs.ndim == 4 and inputs.shape[1] == inputs.shape[2]


def _as(images: Array, side: int, channels: int) -> np.ndarray:
    grown = np.asarray(images) if images.shape[1] == side else resize(np.asarray(images), side)
    return grown if grown.shape[3] == channels else np.repeat(grown, channels, axis=3)


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [n, h, w, 1 or 3] -> uint8 [n, side, side, 1 or 3], by Pillow's bilinear filter."""
    from PIL import Image

    channels = images.shape[3]
    pages = (Image.fromarray(image[..., 0] if channels == 1 else image) for image in images)
    resized = [np.asarray(page.resize((side, side), Image.Resampling.BILINEAR)) for page in pages]
    return np.stack(resized).reshape(-1, side, side, channels)
