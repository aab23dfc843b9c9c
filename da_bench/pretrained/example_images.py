"""Images on disk, prepared as weights have it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.images import decode, resize
from da_bench.data.transforms import View

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
BATCH_SIZE = 16  # images in one pass


def find_images(place: Path) -> list[Path]:
    """An image, or all of a folder and its folders, sorted.

    Raises:
        UserError: there is none.
    """
    found = sorted(one for one in place.rglob("*") if one.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not found:
        raise UserError(f"no images ({', '.join(ENDINGS)}) in '{place}'")
    return found


def batches(view: View, files: Sequence[Path]) -> Iterator[np.ndarray]:
    """The files as stored squares, uint8 [`TOGETHER`, side, side, 3] at a time, black images after the last.

    Raises:
        UserError: see `data.images.decode`.
    """
    for start in range(0, len(files), BATCH_SIZE):
        stored = [resize(decode(file), view.pack_side, view.resize) for file in files[start : start + BATCH_SIZE]]
        yield np.stack([*stored, *[np.zeros_like(stored[0])] * (BATCH_SIZE - len(stored))])
