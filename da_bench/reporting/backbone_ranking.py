"""Rank pretrained networks for a pair of domains before anything is trained. No target label is read."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from da_bench import pretrained
from da_bench.core.config import UserError, did_you_mean
from da_bench.data.tasks import load
from da_bench.evaluation import transferability
from da_bench.pretrained.features import FeatureExtractor, extract_features
from da_bench.reporting.tables.table import Cell, Column, Table

MAX_ROWS = 2000  # of each domain
C = 1.0  # inverse regularisation of the logistic regression, on features of unit variance
LINEAR = "linear"


class Measure(NamedTuple):
    """A score of features.

    Attributes:
        title: heading of its column.
        compute: function of (features, labels) or of (source features, target features).
    """

    title: str
    compute: Callable[[np.ndarray, np.ndarray], float]


FIT_SCORES = {  # of the source's features and labels; higher is better
    "logme": Measure("LogME", transferability.logme),
    "h_score": Measure("H-score\n(regularised)", transferability.regularised_h_score),
    "n_leep": Measure("N-LEEP", transferability.n_leep),
    "transrate": Measure("TransRate", transferability.transrate),
}
DISTANCES = {  # between the features of both domains; lower is better
    "proxy_a_distance": Measure("A-distance", transferability.proxy_a_distance),
    "mmd": Measure("MMD²", transferability.mmd),
    "sliced_wasserstein": Measure("Sliced\nWasserstein", transferability.sliced_wasserstein),
}
NOTE = (
    "Scores of the features of each network's trunk, from the labelled source and the unlabelled target's training "
    "split; no target label is read. Linear: accuracy of a logistic regression on held-out source rows, in percent. "
    "LogME, H-score, N-LEEP and TransRate: how well the features fit the source's labels; higher is better. "
    "A-distance, MMD and sliced Wasserstein: distance between the domains; lower is better. The last two are of "
    "features of unit variance."
)


def rank_backbones(task: str, backbones: Sequence[str], by: str = "logme", data_root: Path | None = None) -> Table:
    """Table with one row for each backbone, the best first.

    Args:
        task: name of the task.
        backbones: names of imported weights, at least two.
        by: score that orders the rows: "linear", or a name of FIT_SCORES or DISTANCES.
        data_root: folder of data sets; default: the variable DA_BENCH_DATA.

    Raises:
        UserError: no such task, weights or score; fewer than two backbones; inputs that are not images.
    """
    measures = {**FIT_SCORES, **DISTANCES}
    if by not in (known := (LINEAR, *measures)):
        raise UserError(f"unknown score '{by}'{did_you_mean(by, known)}")
    if len(backbones) < 2:
        raise UserError(f"a ranking needs at least two backbones; got {len(backbones)}")
    views = {name: pretrained.view(name, augment="none") for name in backbones}
    scores = {name: _score_features(task, FeatureExtractor(name, view), data_root) for name, view in views.items()}
    columns = (
        Column("weights", "Weights"),
        Column("width", "Width"),
        Column(LINEAR, "Linear", ("mean",)),
        *(Column(name, measure.title, ("mean",)) for name, measure in measures.items()),
        Column("seconds", "Seconds", ("mean",)),
    )
    rows = []
    for name in sorted(backbones, key=lambda name: scores[name][by] * (1 if by in DISTANCES else -1)):
        values = {column.key: scores[name][column.key] for column in columns[2:]}
        cells = (
            Cell(f"{100 * value:.1f}" if key == LINEAR else f"{value:.4g}", (value,)) for key, value in values.items()
        )
        rows.append((Cell(name), Cell(str(int(scores[name]["width"]))), *cells))
    title = "linear" if by == LINEAR else measures[by].title.replace("\n", " ")
    return Table(f"{task}: backbones by {title}", columns, tuple(rows), (NOTE,))


def _score_features(task: str, extractor: FeatureExtractor, data_root: Path | None) -> dict[str, float]:
    """All scores of a backbone's features, their width, and the seconds that it took."""
    start = time.monotonic()
    extracted = extract_features(load(task, data_root, extractor.view), extractor)
    train, validation = extracted.source.train, extracted.source.validation
    features, labels = np.asarray(train.inputs[:MAX_ROWS]), np.asarray(train.labels[:MAX_ROWS])
    target = np.asarray(extracted.target.train.inputs[:MAX_ROWS])
    spread = features.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    held_out = np.asarray(validation.inputs) / scale, np.asarray(validation.labels)
    scores = {LINEAR: _linear_accuracy((features / scale, labels), held_out)}
    scores |= {name: measure.compute(features, labels) for name, measure in FIT_SCORES.items()}
    scores |= {name: measure.compute(features / scale, target / scale) for name, measure in DISTANCES.items()}
    return {**scores, "width": float(features.shape[1]), "seconds": time.monotonic() - start}


def _linear_accuracy(train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]) -> float:
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(C=C, max_iter=200).fit(*train)
    features, labels = held_out
    return float(np.mean(classifier.predict(features) == labels))
