"""A contact sheet: a few images of every class, the source's on the left, the target's on the right."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.storage import atomic_file
from da_bench.core.types import Array, Task
from da_bench.data.tasks import load, spec
from da_bench.data.transforms import View
from da_bench.data.typefaces import file_of

if TYPE_CHECKING:
    from PIL.Image import Image

TILE, GAP, LABEL = 72, 4, 150  # pixels: side of an image, space between two, width of the class names
MOST = 50  # images of a class; of hundreds of classes, more would not fit into memory
PAPER, INK = "white", "black"


def write_preview(name: str, path: Path, root: Path | None = None, per_class: int = 5) -> None:
    """Write the contact sheet of a task's training splits as PNG. It shows target labels: do not tune by it.

    Args:
        name: name of the task.
        path: the PNG file.
        root: the data root; None for the environment variable DA_BENCH_DATA.
        per_class: images of each class and domain, from 1 to `MOST`; fewer if no class has so many.

    Raises:
        UserError: the inputs are not images, or `per_class` is out of its range.
        StorageError: the file cannot be written.
    """
    if not 1 <= per_class <= MOST:
        raise UserError(f"--per-class {per_class}: must be from 1 to {MOST} images of each class")
    task = load(name, root, View(pixels=TILE * 7 // 8) if spec(name).images else None)
    splits = (task.source.train, task.target.train)
    for split in splits:
        _check_images(task.name, split.inputs)
    largest = max(int(np.bincount(split.labels).max()) for split in splits)
    sheet = _sheet(task, min(per_class, largest))
    with atomic_file(path, "choose another --out") as file:
        sheet.save(file, format="PNG")


def _check_images(name: str, inputs: Array) -> None:
    """Check that inputs are images [n, h, w, 1 or 3], uint8 or numbers in [0, 1]."""
    if len(inputs.shape) != 4 or inputs.shape[3] not in (1, 3):
        raise UserError(
            f"the inputs of '{name}' are not images: their shape is {list(inputs.shape[1:])}, not [h, w, 1 or 3]"
        )
    if inputs.dtype != np.uint8 and not (inputs.min() >= 0 and inputs.max() <= 1):
        raise UserError(
            f"the inputs of '{name}' are not images that can be shown: they are numbers from {inputs.min():.3g} to "
            f"{inputs.max():.3g}, not uint8 and not in [0, 1]"
        )


def _sheet(task: Task, per_class: int) -> "Image":
    from PIL import Image, ImageDraw, ImageFont

    large, small = (ImageFont.truetype(file_of("DejaVuSans"), size) for size in (16, 12))
    width = LABEL + 2 * per_class * (TILE + GAP) + 4 * GAP
    sheet = Image.new("RGB", (width, (len(task.classes) + 1) * (TILE + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    domains, right = spec(task.name), LABEL + per_class * (TILE + GAP) + 4 * GAP
    columns = (
        (f"source: {domains.source}", task.source.train, LABEL),
        (f"target: {domains.target}", task.target.train, right),
    )
    for title, split, left in columns:
        draw.text((left, TILE // 2), title, INK, large)
        for i in range(len(task.classes)):
            images = split.inputs[np.flatnonzero(split.labels == i)[:per_class]]
            for j, image in enumerate(images):
                sheet.paste(_tile(image), (left + j * (TILE + GAP), (i + 1) * (TILE + GAP)))
    for i, name in enumerate(task.classes):
        draw.text((GAP, (i + 1) * (TILE + GAP) + TILE // 3), name[:18], INK, small)
    return sheet


def _tile(image: np.ndarray) -> "Image":
    """Resize an image [h, w, 1 or 3], uint8 or float in [0, 1], to a tile."""
    from PIL import Image

    values = image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)
    tile = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    return tile.resize((TILE, TILE), Image.Resampling.BILINEAR)
