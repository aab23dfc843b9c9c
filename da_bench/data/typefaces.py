"""Printed digits: outlines of real typefaces, drawn into 8x8 counts in the way UCI optdigits made its handwriting.

Outlines are read in the font's own integer units and filled here. A font rasteriser is not used, because its
anti-aliasing and hinting change between versions. The result is integers in 0..16, the same bytes on every machine.
"""

import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import random_stream

# The text faces that matplotlib ships since 3.10 (its other fonts have no digits or are symbols; cmti10 is newer).
FACES = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)

SIDE = 32  # pixels of the bitmap, as in optdigits
BLOCK = 4  # pixels of the block that becomes one count

# Ranges of the uniform draws for each image. Lengths are in pixels of the 32x32 bitmap.
RANGES = {
    "rotation": (-15.0, 15.0),  # degrees, counter-clockwise
    "shear": (-0.2, 0.2),  # sideways shift per unit of height
    "height": (28.0, 32.0),  # of the inked box; optdigits always fills the 32
    "stretch": (0.8, 1.1),  # of the width, relative to the typeface's own
    "across": (-2.0, 2.0),  # shift of the centre
    "down": (0.0, 1.0),  # position of the box within the rows that its height leaves free
    "weight": (0.25, 1.25),  # added to each side of the stroke
    "specks": (0.0, 0.02),  # share of the pixels that are flipped
    "blur": (0.0, 0.3),  # share of a count that comes from its four neighbours
    "contrast": (0.8, 1.0),  # factor on the counts
}

Style = dict[str, np.ndarray]


class Glyph(NamedTuple):
    """Closed contours with the ink on their right side.

    Attributes:
        corners: [p, 2]; y points up, the glyph is centred and of height 1.
        following: [p] index of the corner that follows each corner.
    """

    corners: np.ndarray
    following: np.ndarray


def render(digits: np.ndarray, *names: str) -> np.ndarray:
    """Draw printed digits.

    Args:
        digits: [n] in 0..9.
        names: name of the random streams; equal names give equal images.

    Returns:
        float32 [n, 8, 8, 1], multiples of 1/16 in [0, 1].
    """
    n = len(digits)
    style = {key: low + (high - low) * random_stream(*names, key).random(n) for key, (low, high) in RANGES.items()}
    faces = random_stream(*names, "face").integers(len(FACES), size=n)
    ink = np.zeros((n, SIDE, SIDE), bool)
    for face, digit in sorted({*zip(faces.tolist(), digits.tolist(), strict=True)}):
        rows = np.flatnonzero((faces == face) & (digits == digit))
        ink[rows] = _fill(*_pose(glyph(FACES[face], digit), {key: value[rows] for key, value in style.items()}))
    ink ^= random_stream(*names, "speck").random(ink.shape) < style["specks"][:, None, None]
    return (_scan(ink, style) / BLOCK**2).astype(np.float32)[..., None]


def file_of(face: str) -> Path:
    """Return the path of the typeface face.ttf of matplotlib.

    Raises:
        UserError: the installed matplotlib, perhaps a distribution's, does not have it.
    """
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")
    if not path.is_file():
        raise UserError(f"matplotlib's typeface '{path}' is missing; install matplotlib 3.10 or later from PyPI")
    return path


@functools.cache
def glyph(face: str, digit: int) -> Glyph:
    """Return the outline of a digit in the typeface face.ttf of matplotlib.

    Raises:
        UserError: as `file_of`.
    """
    from matplotlib.ft2font import FT2Font, LoadFlags
    from matplotlib.path import Path as Outline

    font = FT2Font(str(file_of(face)))
    font.load_char(ord(str(digit)), flags=LoadFlags.NO_SCALE | LoadFlags.IGNORE_TRANSFORM)
    contours: list[list[np.ndarray]] = []
    for points, code in Outline(*font.get_path()).iter_segments(simplify=False):
        if code == Outline.MOVETO:
            contours.append([points])
        elif code != Outline.CLOSEPOLY:
            contours[-1].extend(_flatten(contours[-1][-1], points.reshape(-1, 2)))
    return _assemble([_without_repeats(np.array(contour)) for contour in contours])


def _flatten(start: np.ndarray, points: np.ndarray, pieces: int = 4) -> list[np.ndarray]:
    """Return the corners, after `start`, of a line to points [1, 2] or of a quadratic curve with points [2, 2]."""
    if len(points) == 1:
        return [points[0]]
    ts = [piece / pieces for piece in range(1, pieces + 1)]
    return [(1 - t) * (1 - t) * start + 2 * t * (1 - t) * points[0] + t * t * points[1] for t in ts]


def _without_repeats(contour: np.ndarray) -> np.ndarray:
    return contour[(contour != np.roll(contour, 1, axis=0)).any(axis=1)]


def _assemble(contours: list[np.ndarray]) -> Glyph:
    corners = np.concatenate(contours)
    starts = np.cumsum([0, *map(len, contours)])
    following = np.concatenate([np.roll(np.arange(a, b), -1) for a, b in itertools.pairwise(starts)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    return Glyph((corners - (low + high) / 2) / (high[1] - low[1]), following)


def _pose(shape: Glyph, style: Style) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return corners x, y [m, p] in pixels (y points down) for m styles, and the index of the following corners."""
    angle = style["rotation"] * (np.pi / 180)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = shape.corners[:, 0] * style["stretch"][:, None], shape.corners[:, 1]
    x = x + style["shear"][:, None] * y
    x, y = cos * x - sin * y, sin * x + cos * y
    weight, height = style["weight"][:, None], style["height"][:, None]
    scale = (height - 2 * weight) / np.ptp(y, axis=1, keepdims=True)  # the added weight comes on top
    x, y = _embolden(x * scale, y * scale, shape.following, weight)
    free = SIDE - height
    x = x - (x.min(axis=1, keepdims=True) + x.max(axis=1, keepdims=True)) / 2 + SIDE / 2 + style["across"][:, None]
    return x, y.max(axis=1, keepdims=True) - y + free * style["down"][:, None], shape.following


def _embolden(x: np.ndarray, y: np.ndarray, following: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move every edge outwards by `weight` pixels; corners move along their mitre, cut at twice the weight."""
    dx, dy = x[:, following] - x, y[:, following] - y
    length = np.sqrt(dx * dx + dy * dy)
    nx, ny = -dy / length, dx / length  # the normal of the edge that leaves a corner; ink is on the right
    before = np.argsort(following)
    mx, my = nx + nx[:, before], ny + ny[:, before]
    reach = weight / np.maximum(1 + nx * nx[:, before] + ny * ny[:, before], 0.5)
    return x + reach * mx, y + reach * my


def _fill(x: np.ndarray, y: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Return bitmaps bool [m, 32, 32] of the pixels whose centre the contours (corners x, y [m, p]) wind around."""
    m = len(x)
    x0, y0, x1, y1 = (end[:, None, :] for end in (x, y, x[:, following], y[:, following]))
    centre = np.arange(SIDE)[:, None] + 0.5
    image, row, edge = np.nonzero((y0 <= centre) != (y1 <= centre))
    x0, y0, x1, y1 = (end[image, 0, edge] for end in (x0, y0, x1, y1))
    crossing = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
    column = np.clip(np.ceil(crossing - 0.5), 0, SIDE).astype(int)  # the first pixel whose centre is beyond it
    turns = np.bincount((image * SIDE + row) * (SIDE + 1) + column, np.sign(y0 - y1), m * SIDE * (SIDE + 1))
    return turns.reshape(m, SIDE, SIDE + 1).cumsum(axis=2)[:, :, :SIDE] > 0


def _scan(ink: np.ndarray, style: Style) -> np.ndarray:
    """Count inked pixels (0..16) in 4x4 blocks of `ink` [n, 32, 32], blur, fade and round them: [n, 8, 8]."""
    cells = SIDE // BLOCK
    counts = ink.reshape(-1, cells, BLOCK, cells, BLOCK).sum(axis=(2, 4))
    around = np.pad(counts, ((0, 0), (1, 1), (1, 1)))
    neighbours = around[:, :-2, 1:-1] + around[:, 2:, 1:-1] + around[:, 1:-1, :-2] + around[:, 1:-1, 2:]
    blur, contrast = style["blur"][:, None, None], style["contrast"][:, None, None]
    return np.rint(contrast * ((1 - blur) * counts + blur / 4 * neighbours))
