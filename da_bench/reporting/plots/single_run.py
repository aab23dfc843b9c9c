"""Figures of a single run that need more than its record: confusion matrix, feature map, decision boundary."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array, Domain
from da_bench.evaluation.validators import RULES
from da_bench.reporting.plots.canvas import COLOURS, escape_text, new_figure, task_title
from da_bench.reporting.tables.provenance import provenance
from da_bench.studies.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Embedding = Literal["tsne", "umap", "pca"]
MOST_ROWS = 500  # of each domain in a map: more overlap, and t-SNE takes longer
MOST_NUMBERED_CLASSES = 12  # up to this number, numbers fit into the cells of a confusion matrix
MOST_NAMED_CLASSES = 40  # up to this number, names fit on the axes
FEWEST_ROWS = 10  # of both domains; with fewer, neighbours mean nothing


def plot_confusion(record: Record, counts: np.ndarray, rule: str) -> "Figure":
    """Confusion matrix of a run on the target's test split, in percent of each true class.

    Args:
        record: record of the run.
        counts: [c, c], numbers of rows by true class (first axis) and predicted class, at the selected checkpoint.
        rule: the selection rule.
    """
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    description = f"target test split, {counts.sum()} rows; percent of each true class; rule: {RULES[rule]}"
    figure, panels = new_figure(_caption(record, description), [6.2])
    axes = panels[0, 0]
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02).ax.tick_params(labelsize=7)
    if len(counts) <= MOST_NUMBERED_CLASSES:
        for (i, j), share in np.ndenumerate(shares):
            colour = "black" if share > 50 else "white"
            axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    _label_classes(axes, record.result["classes"])
    axes.set_title(_title(record), loc="left", fontsize=10)
    return figure


def _label_classes(axes: "Axes", classes: Sequence[str]) -> None:
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    axes.tick_params(labelsize=7)
    if len(classes) <= MOST_NAMED_CLASSES:
        size = 7 if len(classes) <= MOST_NUMBERED_CLASSES else 5
        names = [escape_text(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)


class Cloud(NamedTuple):
    """Features after the last step and labels of both test splits.

    Attributes:
        source: features [n, d].
        target: features [m, d].
        source_labels: classes [n].
        target_labels: classes [m].
    """

    source: np.ndarray
    target: np.ndarray
    source_labels: np.ndarray
    target_labels: np.ndarray


def plot_features(record: Record, clouds: Mapping[str, Cloud], embedding: Embedding, is_reproduced: bool) -> "Figure":
    """Maps of features in two dimensions, one panel for each cloud: dots are source, crosses target, colours classes.

    Both domains of a cloud are embedded together, and each cloud on its own. But for "pca" only neighbourhoods have a
    meaning: positions and distances cannot be compared, neither within a map nor between maps.

    Args:
        record: record of the run.
        clouds: title of a panel -> its features.
        embedding: "tsne", "umap" or "pca".
        is_reproduced: whether the run, repeated for its features, ended in the same bits as its record.

    Raises:
        UserError: features are not finite, or too few.
    """
    kind = {"tsne": "t-SNE (openTSNE)", "umap": "UMAP", "pca": "first two principal components"}[embedding]
    meaning = "" if embedding == "pca" else "only neighbourhoods have a meaning; "
    description = (
        f"{kind} of test features, up to {MOST_ROWS} per domain; filled circles: source, crosses: target; colours: "
        f"true classes, repeated after {len(COLOURS)}; {meaning}{_describe_rerun(is_reproduced)}"
    )
    sampled = {
        name: Cloud(*(values[:MOST_ROWS] for values in cloud))  # the order of a test split tells nothing about classes
        for name, cloud in clouds.items()
    }
    maps = {name: embed(cloud.source, cloud.target, embedding) for name, cloud in sampled.items()}
    figure, panels = new_figure(_caption(record, description), [4.2], len(clouds))
    for axes, (name, cloud) in zip(panels[0], sampled.items(), strict=True):
        _draw_map(axes, maps[name], cloud)
        axes.set_title(escape_text(name), loc="left", fontsize=9)
    figure.suptitle(_title(record), x=0.01, ha="left", fontsize=10)
    return figure


class Plane(NamedTuple):
    """Predictions on a plane, and the training rows in it.

    Attributes:
        x: [g], coordinates of a grid.
        y: [g], coordinates of a grid.
        classes: [g, g], predicted class at each grid point; the first axis is y.
        source: points [n, 2] with labels [n].
        target: points [m, 2].
    """

    x: np.ndarray
    y: np.ndarray
    classes: np.ndarray
    source: Domain
    target: Array


def plot_boundaries(record: Record, planes: Mapping[str, Plane], is_reproduced: bool) -> "Figure":
    """The class that a network predicts at each point of the plane, one panel for each plane, with the training rows.

    Args:
        record: record of the run.
        planes: title of a panel -> its plane.
        is_reproduced: as in `plot_features`.
    """
    description = (
        "background: class that the network predicts at each point; coloured circles: labelled source rows of the "
        f"training; black dots: target rows, without labels; {_describe_rerun(is_reproduced)}"
    )
    figure, panels = new_figure(_caption(record, description), [3.4], len(planes))
    for axes, (name, plane) in zip(panels[0], planes.items(), strict=True):
        _draw_boundary(axes, plane)
        axes.set_title(escape_text(name), loc="left", fontsize=9)
    figure.suptitle(_title(record), x=0.01, ha="left", fontsize=10)
    return figure


def _draw_boundary(axes: "Axes", plane: Plane) -> None:
    count = int(max(plane.classes.max(), np.max(plane.source.labels))) + 1
    colours = [COLOURS[i % len(COLOURS)] for i in range(count)]
    axes.contourf(plane.x, plane.y, plane.classes, np.arange(count + 1) - 0.5, colors=colours, alpha=0.25)
    axes.contour(plane.x, plane.y, plane.classes, np.arange(count - 1) + 0.5, colors="black", linewidths=1)
    row_colours = [colours[i] for i in plane.source.labels]
    axes.scatter(plane.source.inputs[:, 0], plane.source.inputs[:, 1], c=row_colours, s=7, linewidths=0)
    axes.scatter(plane.target[:, 0], plane.target[:, 1], c="black", s=3, linewidths=0)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)


def _describe_rerun(is_reproduced: bool) -> str:
    outcome = "gave the same bits as" if is_reproduced else "differs in last bits from"
    return f"the run was repeated and {outcome} its record"


def embed(source: np.ndarray, target: np.ndarray, embedding: Embedding) -> np.ndarray:
    """Embed the features of both domains in one map. The result is deterministic.

    Args:
        source: [n, d].
        target: [m, d].
        embedding: "tsne", "umap" or "pca".

    Returns:
        [n + m, 2], source rows first.

    Raises:
        UserError: features are not finite, or too few.
    """
    rows = np.concatenate([source, target]).astype(np.float64)
    if not np.isfinite(rows).all() or len(rows) < FEWEST_ROWS:
        raise UserError(f"{len(rows)} rows of features cannot be drawn: {FEWEST_ROWS} or more finite ones are needed")
    if embedding == "pca":
        return _principal_components(rows)
    neighbours = min(30, (len(rows) - 1) // 3)
    if embedding == "umap":
        from umap import UMAP

        return np.asarray(UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1).fit_transform(rows))
    from openTSNE import TSNE

    return np.asarray(TSNE(perplexity=neighbours, initialization="pca", random_state=0, n_jobs=1).fit(rows))


def _principal_components(rows: np.ndarray) -> np.ndarray:
    """Rows [n, d] along their first two principal directions [n, 2], whose largest entry is positive."""
    centred = rows - rows.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    signs = np.sign(directions[[0, 1], np.abs(directions).argmax(axis=1)])  # the same on every machine
    return np.asarray(centred @ (directions * signs[:, None]).T)


def require_package(embedding: Embedding) -> None:
    """Check that the package of an embedding is installed.

    Raises:
        UserError: it is not.
    """
    package = {"tsne": "openTSNE", "umap": "umap"}.get(embedding)
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f'--embedding {embedding} needs {package}: pip install "da-bench[plots]"')


def _draw_map(axes: "Axes", positions: np.ndarray, cloud: Cloud) -> None:
    source, target = np.split(positions, [len(cloud.source_labels)])
    circles: dict[str, Any] = {"marker": "o", "s": 9, "alpha": 0.45, "linewidths": 0}
    crosses: dict[str, Any] = {"marker": "x", "s": 14, "alpha": 0.9, "linewidths": 0.8}
    for points, labels, style in ((source, cloud.source_labels, circles), (target, cloud.target_labels, crosses)):
        axes.scatter(points[:, 0], points[:, 1], c=[COLOURS[label % len(COLOURS)] for label in labels], **style)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#bbbbbb")


def _title(record: Record) -> str:
    config = record.config
    return f"{task_title(config['task'])}, {escape_text(config['method']['name'])}, seed {config['seed']}"


def _caption(record: Record, description: str) -> list[str]:
    return [f"run {record.id}, seed {record.config['seed']}; {description}", *provenance([record])]
