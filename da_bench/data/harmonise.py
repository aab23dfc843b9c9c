"""Images of two domains, brought to the same size and the same number of channels."""

import numpy as np

from da_bench.core.types import Array


def match_images(source: Array, target: Array) -> tuple[Array, Array]:
    """Give square images of both domains the larger side of the two and, if one has colours, three channels.

    Grey values are repeated three times. Sides grow by Pillow's bilinear filter.

    Args:
        source: inputs [n, ...]. Only square uint8 images [n, side, side, 1 or 3] of different shapes, such as MNIST and
            SVHN, are changed; anything else is returned as it is.
        target: inputs [m, ...], likewise.
    """
    if source.shape[1:] == target.shape[1:] or not (_is_square(source) and _is_square(target)):
        return source, target
    side, channels = (max(source.shape[axis], target.shape[axis]) for axis in (1, 3))
    return _enlarge(source, side, channels), _enlarge(target, side, channels)


def _is_square(inputs: Array) -> bool:
    return inputs.dtype == np.uint8 and inputs.ndim == 4 and inputs.shape[1] == inputs.shape[2]


def _enlarge(images: Array, side: int, channels: int) -> np.ndarray:
    enlarged = np.asarray(images) if images.shape[1] == side else resize(np.asarray(images), side)
    return enlarged if enlarged.shape[3] == channels else np.repeat(enlarged, channels, axis=3)


def resize(images: np.ndarray, side: int) -> np.ndarray:
    """Resize images by Pillow's bilinear filter.

    Args:
        images: uint8 [n, h, w, 1 or 3].
        side: side of the result, in pixels.

    Returns:
        uint8 [n, side, side, 1 or 3].
    """
    from PIL import Image

    channels = images.shape[3]
    pages = (Image.fromarray(image[..., 0] if channels == 1 else image) for image in images)
    resized = [np.asarray(page.resize((side, side), Image.Resampling.BILINEAR)) for page in pages]
    return np.stack(resized).reshape(-1, side, side, channels)
