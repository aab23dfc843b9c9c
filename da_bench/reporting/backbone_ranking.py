"""Which of several pretrained networks suits a pair of domains, before anything is trained; no target label is read."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from da_bench import pretrained as weights
from da_bench.core.config import UserError, did_you_mean
from da_bench.core.types import Task
from da_bench.data.tasks import load
from da_bench.evaluation import transferability
from da_bench.pretrained.features import FeatureExtractor, extract_features
from da_bench.reporting.tables.table import Cell, Column, Table

ROWS = 2000  # of each domain, at most
C = 1.0  # of the logistic regression, on features of unit variance
Measure = Callable[[np.ndarray, np.ndarray], float]
FIT_SCORES: dict[str, tuple[str, Measure]] = {  # on the source's labelled features: higher is better
    "logme": ("LogME", transferability.logme),
    "h_score": ("H-score\n(regularised)", transferability.regularised_h_score),
    "n_leep": ("N-LEEP", transferability.n_leep),
    "transrate": ("TransRate", transferability.transrate),
}
DISTANCES: dict[str, tuple[str, Measure]] = {  # between the features of both domains: lower is better
    "proxy_a_distance": ("A-distance", transferability.proxy_a_distance),
    "mmd": ("MMD²", transferability.mmd),
    "sliced_wasserstein": ("Sliced\nWasserstein", transferability.sliced_wasserstein),
}
LINEAR = "linear"
NOTE = (
    "Scores of the features of each network's trunk, from the labelled source and the unlabelled target's training "
    "split; no target label is read. Linear: accuracy on held-out source rows, in percent, of a logistic regression. "
    "LogME, H-score, N-LEEP and TransRate: how well features suit the source's labels, higher is better. A-distance, "
    "MMD and sliced Wasserstein: how far apart the domains are, lower is better, the last two of features scaled to "
    "variance 1."
)


def rank_backbones(task: str, backbones: Sequence[str], by: str = "logme", data_root: Path | None = None) -> Table:
    """A row for each of the imported weights `backbones`, the best first.

    by: what they are ordered by: "linear", or a name of SUITS or APART.

    Raises:
        UserError: no such task, weights or score; fewer than two backbones; inputs that are no images.
    """
    if by not in (known := (LINEAR, *FIT_SCORES, *DISTANCES)):
        raise UserError(f"unknown score '{by}'{did_you_mean(by, known)}")
    if len(backbones) < 2:
        raise UserError(f"there is nothing to choose between {len(backbones)} backbones; give at least two")
    views = {name: weights.view(name, augment="none") for name in backbones}
    scores = {name: _scores(task, FeatureExtractor(name, view), data_root) for name, view in views.items()}
    columns = [Column("weights", "Weights"), Column("width", "Width"), Column(LINEAR, "Linear", ("mean",))]
    columns += [Column(name, title, ("mean",)) for name, (title, _) in {**FIT_SCORES, **DISTANCES}.items()]
    columns.append(Column("seconds", "Seconds", ("mean",)))
    order = sorted(backbones, key=lambda name: scores[name][by] * (1 if by in DISTANCES else -1))
    rows = tuple(_row(name, scores[name], columns[2:]) for name in order)
    title = {LINEAR: "linear", **{name: title for name, (title, _) in {**FIT_SCORES, **DISTANCES}.items()}}[by].replace(
        "\n", " "
    )
    return Table(f"{task}: backbones by {title}", tuple(columns), rows, (NOTE,))


def _row(name: str, scores: dict[str, float], columns: Sequence[Column]) -> tuple[Cell, ...]:
    def cell(key: str) -> Cell:
        value = scores[key]
        return Cell(f"{100 * value:.1f}" if key == LINEAR else f"{value:.4g}", (value,))

    return (Cell(name), Cell(str(int(scores["width"]))), *(cell(column.key) for column in columns))


def _scores(task: str, trunk: FeatureExtractor, data_root: Path | None) -> dict[str, float]:
    start = time.monotonic()
    found: Task = extract_features(load(task, data_root, trunk.view), trunk)
    train, held_out = found.source.train, found.source.validation
    features, labels = np.asarray(train.inputs[:ROWS]), np.asarray(train.labels[:ROWS])
    target = np.asarray(found.target.train.inputs[:ROWS])
    scale = np.where((spread := features.std(axis=0)) > 0, spread, 1.0)
    held_out_labels = np.asarray(held_out.labels)
    scores = {LINEAR: _linear(features / scale, labels, np.asarray(held_out.inputs) / scale, held_out_labels)}
    scores |= {name: fn(features, labels) for name, (_, fn) in FIT_SCORES.items()}
    scores |= {name: fn(features / scale, target / scale) for name, (_, fn) in DISTANCES.items()}
    return {**scores, "width": float(features.shape[1]), "seconds": time.monotonic() - start}


def _linear(features: np.ndarray, labels: np.ndarray, held_out: np.ndarray, theirs: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=C, max_iter=200).fit(features, labels)
    return float(np.mean(fitted.predict(held_out) == theirs))
