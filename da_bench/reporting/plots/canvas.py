"""What all plots share: sheets with a caption, looks that differ in black and white too, and files of equal bytes."""

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

# Okabe and Ito (2008), without the yellow that white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
SOURCE_ONLY_STYLE = {"color": "#555555", "linestyle": (0, (4, 2))}
BOUND_STYLE = {"color": "#000000", "linestyle": (0, (1, 1.5))}
BESIDE: dict[str, Any] = {"fontsize": 7, "loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False}
CAPTION_INCHES = 0.14  # height of one line of the caption


class Style(NamedTuple):
    """How one row looks in every plot of a task."""

    color: str
    marker: str
    linestyle: Any


def render_figure(figure: "Figure", kind: str) -> bytes:
    """`figure` as a "png" of 150 dots an inch, or an "svg" without date and random ids."""
    import matplotlib as mpl

    sheet = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "da-bench"}):
        figure.savefig(sheet, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {})
    return _numbered(sheet.getvalue()) if kind == "svg" else _with_palette(sheet.getvalue())


def _with_palette(png: bytes) -> bytes:
    """The image in 256 colours, in about a third of the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    palette = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    file = io.BytesIO()
    palette.save(file, "png", optimize=True, dpi=image.info["dpi"])
    return file.getvalue()


def _numbered(svg: bytes) -> bytes:
    """An svg whose clip paths are numbered: matplotlib hashes their bounds, of which the last bit may differ."""
    names = dict.fromkeys(re.findall(rb'<clipPath id="(\w+)"', svg))
    for i, name in enumerate(names):
        svg = svg.replace(name, b"clip%d" % i)
    return svg


def styles_of(rows: Sequence[Row]) -> list[Style]:
    """Grey for source only, black for the upper bound; colours, markers and dashes run at different lengths."""
    turns = itertools.count()
    return [_style(row, turns) for row in rows]


def _style(row: Row, turns: "itertools.count[int]") -> Style:
    if row.is_source_only or row.is_bound:
        look = BOUND_STYLE if row.is_bound else SOURCE_ONLY_STYLE
        return Style(str(look["color"]), "*" if row.is_bound else "x", look["linestyle"])
    i = next(turns)
    return Style(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])


def facts_of(records: Sequence[Record], rows: Iterable[Row], said: str) -> list[str]:
    """What the caption says: seeds, what is drawn, runs that diverged, and where the records come from."""
    rows = list(rows)
    tasks = {row.first.config["task"] for row in rows}
    diverged = ["† diverged runs, with chance accuracy"] if any(row.diverged for row in rows) else []
    sources = provenance([record for record in records if record.config["task"] in tasks] or records)
    return [f"{describe_seed_counts(rows)}; {said}", *diverged, *sources]


def sheet(facts: list[str], heights: list[float], columns: int) -> tuple["Figure", np.ndarray]:
    """A figure with one line of panels for each of `heights` (inches), and the caption below them."""
    from matplotlib.figure import Figure

    caption = "\n".join(textwrap.fill(plain(fact), 120) for fact in facts)
    margin = CAPTION_INCHES * (caption.count("\n") + 2)
    total = sum(heights) + margin
    figure = Figure(figsize=(8, total), layout="constrained")
    figure.get_layout_engine().set(rect=(0, margin / total, 1, 1 - margin / total))  # type: ignore[union-attr,call-arg]
    figure.text(0.01, 0.05 / total, caption, fontsize=6.5, va="bottom", color="#444444")
    panels = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    return figure, panels


def plain(text: str) -> str:
    """`text` as matplotlib draws it letter by letter."""
    # A pair of dollars would be set as a formula, and a legend leaves out names that begin with "_".
    text = single_line(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def label_of(row: Row, remark: str = "") -> str:
    """The row's name, on as many lines as it needs."""
    return label(f"{row.name}{remark}")


def label(name: str) -> str:
    """A name, on as many lines as it needs."""
    return textwrap.fill(plain(name), 36)


def inside(limits: Callable[[], tuple[float, float]], set_limits: Callable[[float, float], Any]) -> None:
    """Keep a percent axis within 0 to 100: an interval over two seeds may be far wider and flatten the rest."""
    low, high = limits()
    set_limits(max(low, -2.0), min(high, 102.0))


def lowest(gains: np.ndarray) -> float:
    """Where a scale of gains in points may begin, so that a method that fails leaves the others some room.

    At the lowest, or twice as far below 0 as the best is above it, if that is nearer; no nearer than -20.
    """
    return float(max(np.nanmin(gains), -2 * max(np.nanmax(gains), 10.0)))


def grid(axes: "Axes", axis: Any) -> None:
    """Quiet lines behind the data along "x", "y" or "both", and no box around it."""
    axes.grid(axis=axis, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
