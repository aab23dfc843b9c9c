"""Image files on disk, prepared as a network expects them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.images import decode, resize
from da_bench.data.transforms import View

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
BATCH_SIZE = 16  # images in one pass of the network


def find_images(path: Path) -> list[Path]:
    """List an image file, or all image files in a folder and its subfolders, sorted.

    Raises:
        UserError: the folder holds no images.
    """
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UserError(f"no images ({', '.join(SUFFIXES)}) in '{path}'")
    return files


def batches(view: View, files: Sequence[Path]) -> Iterator[np.ndarray]:
    """Decode and resize image files in batches of `BATCH_SIZE`.

    Args:
        view: how images are prepared.
        files: image files.

    Yields:
        uint8 [BATCH_SIZE, side, side, 3], the last batch filled up with black images.

    Raises:
        UserError: an image cannot be decoded, see `data.images.decode`.
    """
    for start in range(0, len(files), BATCH_SIZE):
        images = [resize(decode(file), view.stored_side, view.resize) for file in files[start : start + BATCH_SIZE]]
        yield np.stack([*images, *[np.zeros_like(images[0])] * (BATCH_SIZE - len(images))])
