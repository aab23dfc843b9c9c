"""A contact sheet: a few images of every class, the source's on the left, the target's on the right."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array, Domain, Task
from da_bench.data.tasks import load, spec
from da_bench.data.transforms import View
from da_bench.data.typefaces import file_of

if TYPE_CHECKING:
    from PIL.Image import Image

TILE, GAP, LABEL = 72, 4, 150  # pixels: side of an image, space between two, width of the class names
MOST = 50  # images of a class: of hundreds of classes, more would not fit into memory
PAPER, INK = "white", "black"


def write_preview(name: str, path: Path, root: Path | None = None, per_class: int = 5) -> None:
    """Write the sheet of a task's training splits as PNG. It shows target labels: for looking, not for tuning.

    per_class: images of each class and domain, from 1 to `MOST`; fewer where no class has as many.

    Raises:
        UserError: the inputs are no images; another `per_class`; a path that cannot be written.
    """
    if not 1 <= per_class <= MOST:
        raise UserError(f"{per_class} images of each class do not make a sheet: --per-class is from 1 to {MOST}")
    task = load(name, root, View(pixels=TILE * 7 // 8) if spec(name).images else None)
    for split in (task.source.train, task.target.train):
        _check_images(task.name, split.inputs)
    largest = max(int(np.bincount(split.labels).max()) for split in (task.source.train, task.target.train))
    sheet = _sheet(task, min(per_class, largest))
    try:
        sheet.save(path, format="PNG")
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}; choose another --out") from None


def _check_images(name: str, inputs: Array) -> None:
    """uint8, or numbers in [0, 1], of the shape [n, h, w, 1 or 3]."""
    if len(inputs.shape) != 4 or inputs.shape[3] not in (1, 3):
        raise UserError(
            f"the inputs of '{name}' are no images, but of the shape {list(inputs.shape[1:])}, not [h, w, 1 or 3]"
        )
    if inputs.dtype != np.uint8 and not (inputs.min() >= 0 and inputs.max() <= 1):
        raise UserError(
            f"the inputs of '{name}' are no images, but numbers from {inputs.min():.3g} to {inputs.max():.3g}: those "
            "in [0, 1] can be shown, and uint8"
        )


def _sheet(task: Task, per_class: int) -> "Image":
    from PIL import Image, ImageDraw, ImageFont

    head, small = (ImageFont.truetype(file_of("DejaVuSans"), size) for size in (16, 12))
    width = LABEL + 2 * per_class * (TILE + GAP) + 4 * GAP
    sheet = Image.new("RGB", (width, (len(task.classes) + 1) * (TILE + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for domain, split, left in _sides(task, per_class):
        draw.text((left, TILE // 2), domain, INK, head)
        for i in range(len(task.classes)):
            tiles = (_tile(image) for image in _first(split, i, per_class))
            for j, tile in enumerate(tiles):
                sheet.paste(tile, (left + j * (TILE + GAP), (i + 1) * (TILE + GAP)))
    for i, name in enumerate(task.classes):
        draw.text((GAP, (i + 1) * (TILE + GAP) + TILE // 3), name[:18], INK, small)
    return sheet


def _sides(task: Task, per_class: int) -> list[tuple[str, Domain, int]]:
    right = LABEL + per_class * (TILE + GAP) + 4 * GAP
    names = spec(task.name)
    left = f"source: {names.source}", task.source.train, LABEL
    return [left, (f"target: {names.target}", task.target.train, right)]


def _first(split: Domain, label: int, count: int) -> Array:
    return split.inputs[np.flatnonzero(split.labels == label)[:count]]


def _tile(image: np.ndarray) -> "Image":
    """[h, w, 1 or 3], uint8 or float in [0, 1]."""
    from PIL import Image

    greys = image if image.dtype == np.uint8 else np.rint(image * 255).astype(np.uint8)
    tile = Image.fromarray(greys[..., 0] if greys.shape[2] == 1 else greys)
    return tile.resize((TILE, TILE), Image.Resampling.BILINEAR)
