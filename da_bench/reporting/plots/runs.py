"""Plots of one run that need more than its record: confusion matrices and maps of features."""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array, Domain
from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import COLOURS, plain, sheet
from da_bench.reporting.tables.provenance import provenance
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Embedding = Literal["tsne", "umap", "pca"]
MOST_ROWS = 500  # of each domain in a map: an eye sees no more, and the time of t-SNE goes with them
MOST_NUMBERED = 12  # classes up to which the cells of a confusion matrix have room for numbers
MOST_NAMED = 40  # classes up to which there is room for their names
FEWEST = 10  # rows of both domains that have neighbours to speak of


def plot_confusion(record: Record, counts: np.ndarray, rule: str) -> "Figure":
    """Confusion matrix of a run on the target's test split: a row is a true class, shares of it in percent.

    counts: [c, c], row = true class, column = predicted class, of the checkpoint that `rule` chose.
    """
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    said = f"target test split, {counts.sum()} rows; percent of each true class; rule: {RULES[rule]}"
    figure, panels = sheet(_facts(record, said), [6.2], 1)
    axes = panels[0, 0]
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02).ax.tick_params(labelsize=7)
    for (i, j), share in np.ndenumerate(shares) if len(counts) <= MOST_NUMBERED else ():
        axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color="black" if share > 50 else "white")
    _name_classes(axes, record.result["classes"])
    axes.set_title(_title(record), loc="left", fontsize=10)
    return figure


def _name_classes(axes: "Axes", classes: Sequence[str]) -> None:
    named = len(classes) <= MOST_NAMED
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    axes.tick_params(labelsize=7)
    if named:
        size = 7 if len(classes) <= MOST_NUMBERED else 5
        names = [plain(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)


class Cloud(NamedTuple):
    """Features after the last step and labels of both test splits: source [n, d], target [m, d]."""

    source: np.ndarray
    target: np.ndarray
    source_labels: np.ndarray
    target_labels: np.ndarray


def plot_features(record: Record, clouds: dict[str, Cloud], embedding: Embedding, same: bool) -> "Figure":
    """Maps of features in two dimensions, a panel a cloud: circles are source, crosses target, colours classes.

    The domains of a cloud are embedded together, and clouds each for itself: but for "pca" only who is near whom has a
    meaning, and no place or distance on one map can be compared with another. same: whether the run that was made again
    for its features ended in the very bits of its record.

    Raises:
        UserError: features are not finite or too few.
    """
    kind = {"tsne": "t-SNE (openTSNE)", "umap": "UMAP", "pca": "first two principal components"}[embedding]
    meaning = "" if embedding == "pca" else "only neighbourhoods have a meaning; "
    said = (
        f"{kind} of test features, up to {MOST_ROWS} a domain; filled circles: source, crosses: target; colours: true "
        f"classes, repeated after {len(COLOURS)}; {meaning}the run was {_again(same)}"
    )
    maps = {name: embed(*_sampled(cloud)[:2], embedding) for name, cloud in clouds.items()}
    figure, panels = sheet(_facts(record, said), [4.2], len(clouds))
    for axes, (name, cloud) in zip(panels[0], clouds.items(), strict=True):
        _map(axes, maps[name], _sampled(cloud))
        axes.set_title(plain(name), loc="left", fontsize=9)
    figure.suptitle(_title(record), x=0.01, ha="left", fontsize=10)
    return figure


class Plane(NamedTuple):
    """Classes [g, g] that a network gives to a grid of points, a row a value of y: x [g], y [g]; and the training rows:
    source with points [n, 2] and labels [n], target [m, 2].
    """

    x: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    source: Domain
    target: Array


def plot_boundaries(record: Record, planes: dict[str, Plane], same: bool) -> "Figure":
    """What class the network gives to each point of the plane, a panel a plane, with the training rows upon it.

    same: as of `plot_features`.
    """
    said = (
        "background: the class that the network gives to each point; coloured circles: labelled source rows that it "
        f"trained on; black dots: target rows, without labels; the run was {_again(same)}"
    )
    figure, panels = sheet(_facts(record, said), [3.4], len(planes))
    for axes, (name, plane) in zip(panels[0], planes.items(), strict=True):
        _boundary(axes, plane)
        axes.set_title(plain(name), loc="left", fontsize=9)
    figure.suptitle(_title(record), x=0.01, ha="left", fontsize=10)
    return figure


def _boundary(axes: "Axes", plane: Plane) -> None:
    count = int(max(plane.classes.max(), np.max(plane.source.labels))) + 1
    colours = [COLOURS[i % len(COLOURS)] for i in range(count)]
    axes.contourf(plane.x, plane.y, plane.classes, np.arange(count + 1) - 0.5, colors=colours, alpha=0.25)
    axes.contour(plane.x, plane.y, plane.classes, np.arange(count - 1) + 0.5, colors="black", linewidths=1)
    of_rows = [colours[i] for i in plane.source.labels]
    axes.scatter(plane.source.inputs[:, 0], plane.source.inputs[:, 1], c=of_rows, s=7, linewidths=0)
    axes.scatter(plane.target[:, 0], plane.target[:, 1], c="black", s=3, linewidths=0)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def _again(same: bool) -> str:
    return "made again, to the bits of its record" if same else "made again, to other last bits than its record's"


def _sampled(cloud: Cloud) -> Cloud:
    """The first rows of each domain: the order of a test split tells no class."""
    return Cloud(*(values[:MOST_ROWS] for values in cloud))


def embed(source: np.ndarray, target: np.ndarray, embedding: Embedding) -> np.ndarray:
    """Rows of source [n, d] and target [m, d] in one map [n + m, 2]; the same every time.

    Raises:
        UserError: as `plot_features`.
    """
    rows = np.concatenate([source, target]).astype(np.float64)
    if not np.isfinite(rows).all() or len(rows) < FEWEST:
        raise UserError(f"features of {len(rows)} rows cannot be drawn: give {FEWEST} or more, all of them finite")
    if embedding == "pca":
        return _principal(rows)
    near = min(30, (len(rows) - 1) // 3)
    if embedding == "umap":
        from umap import UMAP

        return np.asarray(UMAP(n_neighbors=near, random_state=0, n_jobs=1).fit_transform(rows))
    from openTSNE import TSNE

    return np.asarray(TSNE(perplexity=near, initialization="pca", random_state=0, n_jobs=1).fit(rows))


def _principal(rows: np.ndarray) -> np.ndarray:
    """Rows [n, d] along their first two principal directions [n, 2], whose largest entry is positive."""
    centred = rows - rows.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    signs = np.sign(directions[[0, 1], np.abs(directions).argmax(axis=1)])  # the same on every machine
    return np.asarray(centred @ (directions * signs[:, None]).T)


def require(embedding: Embedding) -> None:
    """Raise UserError where the package of an embedding is not installed."""
    package = {"tsne": "openTSNE", "umap": "umap"}.get(embedding)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f'a map of features by "{embedding}" needs {package}: pip install "da-bench[plots]"')


def _map(axes: "Axes", places: np.ndarray, cloud: Cloud) -> None:
    looks: Any = (("o", cloud.source_labels, 9, 0.45), ("x", cloud.target_labels, 14, 0.9))
    start = 0
    for marker, labels, size, strength in looks:
        own = places[start : start + len(labels)]
        start += len(labels)
        colours = [COLOURS[label % len(COLOURS)] for label in labels]
        axes.scatter(
            own[:, 0],
            own[:, 1],
            c=colours,
            marker=marker,
            s=size,
            alpha=strength,
            linewidths=0.8 if marker == "x" else 0,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")


def _title(record: Record) -> str:
    return plain(f"{record.config['task']}: {record.config['method']['name']}, seed {record.config['seed']}")


def _facts(record: Record, said: str) -> list[str]:
    return [f"run {record.id}, seed {record.config['seed']}; {said}", *provenance([record])]
