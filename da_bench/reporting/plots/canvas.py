"""What all figures share: a caption with provenance, styles that differ in black and white, reproducible files."""

import io
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from da_bench.reporting.tables.provenance import describe_seed_counts, provenance
from da_bench.reporting.tables.rows import Row
from da_bench.reporting.tables.text import single_line
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), without the yellow that is hard to see on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
SOURCE_ONLY_STYLE = {"color": "#555555", "linestyle": (0, (4, 2))}
BOUND_STYLE = {"color": "#000000", "linestyle": (0, (1, 1.5))}
LEGEND_BESIDE: dict[str, Any] = {"fontsize": 7, "loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False}
CAPTION_LINE_INCHES = 0.14
CAPTION_LETTERS = 120  # on one line
LABEL_LETTERS = 36
SMALLEST_GAIN_AXIS = 20.0  # percentage points below 0
DPI = 150


class Style(NamedTuple):
    """How a row is drawn in every figure of a task: names of matplotlib's line properties."""

    color: str
    marker: str
    linestyle: Any


def render_figure(figure: "Figure", kind: str) -> bytes:
    """The content of an image file.

    Args:
        figure: the figure.
        kind: "png" (150 dots per inch, 256 colours) or "svg" (equal bytes for equal figures).
    """
    import matplotlib as mpl

    file = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "da-bench"}):
        figure.savefig(file, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else {})
    return _with_numbered_clips(file.getvalue()) if kind == "svg" else _with_palette(file.getvalue())


def _with_palette(png: bytes) -> bytes:
    """The image in 256 colours, in about a third of the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    palette.save(file, "png", optimize=True, dpi=(DPI, DPI))
    return file.getvalue()


def _with_numbered_clips(svg: bytes) -> bytes:
    """The svg with numbers as names of clip paths: matplotlib hashes their bounds, whose last bit may differ."""
    names = dict.fromkeys(re.findall(rb'<clipPath id="(\w+)"', svg))
    for i, name in enumerate(names):
        svg = svg.replace(name, b"clip%d" % i)
    return svg


def row_styles(rows: Sequence[Row]) -> list[Style]:
    """Grey for source only, black for bounds, and a combination of colour, marker and dashes for other rows."""
    methods = itertools.count()
    styles = []
    for row in rows:
        if row.uses_target_labels:
            styles.append(Style(str(BOUND_STYLE["color"]), "*", BOUND_STYLE["linestyle"]))
        elif row.is_source_only:
            styles.append(Style(str(SOURCE_ONLY_STYLE["color"]), "x", SOURCE_ONLY_STYLE["linestyle"]))
        else:
            i = next(methods)
            styles.append(Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)]))
    return styles


def caption_of(records: Sequence[Record], rows: Iterable[Row], description: str) -> list[str]:
    """Paragraphs of a caption: number of seeds, what is drawn, diverged runs, and the provenance of the records.

    Args:
        records: all records of the figure.
        rows: the rows that are drawn.
        description: what is drawn.
    """
    rows = list(rows)
    tasks = {row.first.config["task"] for row in rows}
    diverged = ["† diverged runs, with chance accuracy"] if any(row.diverged for row in rows) else []
    sources = provenance([record for record in records if record.config["task"] in tasks] or records)
    return [f"{describe_seed_counts(rows)}; {description}", *diverged, *sources]


def new_figure(caption: Sequence[str], heights: Sequence[float], columns: int = 1) -> tuple["Figure", np.ndarray]:
    """A figure with a caption below its panels.

    Args:
        caption: paragraphs of the caption.
        heights: height of each line of panels, in inches.
        columns: number of panels in each row.

    Returns:
        The figure, and its panels [len(heights), columns].
    """
    from matplotlib.figure import Figure

    text = "\n".join(textwrap.fill(escape_text(paragraph), CAPTION_LETTERS) for paragraph in caption)
    margin = CAPTION_LINE_INCHES * (text.count("\n") + 2)
    total = sum(heights) + margin
    figure = Figure(figsize=(8, total), layout="constrained")
    figure.get_layout_engine().set(rect=(0, margin / total, 1, 1 - margin / total))  # type: ignore[union-attr,call-arg]
    figure.text(0.01, 0.05 / total, text, fontsize=6.5, va="bottom", color="#444444")
    panels = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    return figure, panels


def escape_text(text: str) -> str:
    """`text` as matplotlib draws it letter by letter."""
    # A pair of dollars would be set as a formula, and a legend leaves out names that begin with "_".
    text = single_line(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def task_title(task: str) -> str:
    """A task's name for people: "office31/amazon-to-dslr@transductive" is "office31: amazon → dslr (transductive)"."""
    name, _, protocol = task.replace("-to-", " → ").replace("/", ": ", 1).partition("@")
    return escape_text(f"{name} ({protocol})" if protocol else name)


def row_label(row: Row, remark: str = "") -> str:
    """The row's name on as many lines as it needs."""
    return wrap(f"{row.name}{remark}")


def wrap(name: str, letters: int = LABEL_LETTERS) -> str:
    """A name on as many lines as it needs."""
    return textwrap.fill(escape_text(name), letters)


def limit_to_percent(limits: Callable[[], tuple[float, float]], set_limits: Callable[[float, float], Any]) -> None:
    """Keep a percent axis within 0 to 100: an interval over two seeds may be far wider and flatten the rest."""
    low, high = limits()
    set_limits(max(low, -2.0), min(high, 102.0))


def gain_axis_start(gains: np.ndarray) -> float:
    """Where an axis of gains begins, so that a method that fails does not flatten the others.

    It is the lowest gain, or -2 times the highest if that is nearer to 0, but at least 20 points below 0.

    Args:
        gains: percentage points; NaN is ignored.
    """
    return float(max(np.nanmin(gains), -2 * max(np.nanmax(gains), SMALLEST_GAIN_AXIS / 2)))


def style_axes(axes: "Axes", grid: Any) -> None:
    """Draw quiet grid lines along "x", "y" or "both", and remove the box around the panel."""
    axes.grid(axis=grid, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
