"""What the classical methods share: scaled rows, the last classifier, and the leading eigenvectors of a matrix."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import scipy.special

from da_bench.core.config import UserError, setting
from da_bench.core.types import Array
from da_bench.methods import ClassicalMethod
from da_bench.methods.base import Classifier

Map = Callable[[np.ndarray], np.ndarray]  # rows [n, a] to rows [n, b]
Head = Literal["1nn", "logistic"]
Normalise = Literal["none", "l1", "l2"]
Scaling = Literal["source", "each", "none"]

ABSENT = -50.0  # score of a class without a source row: as good as impossible, and finite, as entropies want it
DENSE = 1500  # rows of a matrix of which all eigenvectors are found as fast as the leading ones
NEGLIGIBLE = 1e-10  # of the largest eigenvalue: below, a direction is rounding


class Domains(NamedTuple):
    """Float64 inputs of the source [n, d] and the target [m, d], and labels [n] of the source."""

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A fitted method: how new target inputs become the last classifier's rows, and that classifier's scores."""

    embed: Map
    scores: Map

    def predict_log_proba(self, inputs: Any) -> np.ndarray:
        """Log-probabilities [n, c] of inputs [n, d], finite; c is one more than the largest source label."""
        return log_softmax(self.scores(self.embed(np.asarray(inputs, np.float64))))

    def predict(self, inputs: Any) -> np.ndarray:
        """Labels [n] of inputs [n, d]."""
        return self.predict_log_proba(inputs).argmax(axis=1)


@setting
class Aligned(ClassicalMethod, abc.ABC):
    """A method that brings both domains into one space, in which a classifier is fitted on the source.

    normalise: what each row is divided by first, "l1" its sum of magnitudes (as is the custom with histograms), "l2"
    its length, "none" nothing. scaling: "each" makes every column of either domain of mean 0 and variance 1 on its own,
    as is the custom of the papers, which aligns means and scales already; "none" leaves both as they are. classifier:
    "1nn", the nearest source row, or "logistic", a logistic regression.
    """

    normalise: Normalise = "none"
    scaling: Literal["each", "none"] = "each"
    classifier: Head = "1nn"

    def fit(self, source_inputs: Array, source_labels: Array, target_inputs: Array) -> Classifier:
        """Fit on source [n, d], labels [n] and unlabelled target [m, d].

        Raises:
            UserError: inputs that are not finite, a source of one class, or rows that the method cannot work with.
        """
        given = checked(self.name, source_inputs, source_labels, target_inputs)
        of_source, of_target = scalers(given, self.normalise, self.scaling)
        source, target = of_source(given.source), of_target(given.target)
        turn = to_span(source, target)
        embedded, embed = self.embed(Domains(turn(source), given.labels, turn(target)))
        if not embedded.shape[1]:
            raise UserError(
                f"{self.name}: one domain's training rows are all the same, and span no subspace; give more"
            )
        return Fitted(lambda rows: embed(turn(of_target(rows))), head(self.classifier, embedded, given.labels))

    @abc.abstractmethod
    def embed(self, rows: Domains) -> tuple[np.ndarray, Map]:
        """The source's rows in the common space [n, k], and the map of target rows [., d] into it."""


def checked(name: str, source: Array, labels: Array, target: Array) -> Domains:
    """The three as float64 and integer arrays.

    Raises:
        UserError: inputs that are not finite, or a source of one class.
    """
    domains = Domains(np.asarray(source, np.float64), np.asarray(labels), np.asarray(target, np.float64))
    for domain, rows in (("source", domains.source), ("target", domains.target)):
        if not np.isfinite(rows).all():
            raise UserError(f"{name}: the {domain}'s inputs hold NaN or infinity; leave such rows or columns out")
    if len(np.unique(domains.labels)) < 2:
        raise UserError(f"{name}: the source's training rows are of one class; there is nothing to tell apart")
    return domains


def normalised(rows: np.ndarray, kind: Normalise) -> np.ndarray:
    """Rows [n, d], each divided by its l1 or l2 norm; a row of zeros stays one."""
    if kind == "none":
        return rows
    norms = np.linalg.norm(rows, ord={"l1": 1, "l2": 2}[kind], axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def standardiser(rows: np.ndarray) -> Map:
    """The map that gives every column of `rows` [n, d] mean 0 and variance 1; a constant column becomes zeros."""
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(rows).transform


def scalers(given: Domains, kind: Normalise, scaling: Scaling) -> tuple[Map, Map]:
    """What is done to rows of the source and of the target: divided by a norm, then standardised.

    scaling: by the "source"'s means and deviations, "each" by its own domain's, or "none".
    """
    of_source = scaler(given.source, kind, scaling)
    return of_source, scaler(given.target, kind, scaling) if scaling == "each" else of_source


def scaler(rows: np.ndarray, kind: Normalise, scaling: Scaling) -> Map:
    """New rows, each divided by its norm, as `rows` [n, d] are whose means and deviations standardise them."""
    if scaling == "none":
        return lambda new: normalised(new, kind)
    scale = standardiser(normalised(rows, kind))
    return lambda new: scale(normalised(new, kind))


def to_span(source: np.ndarray, target: np.ndarray) -> Map:
    """A rotation of inputs into the span of all n + m rows where it has fewer dimensions than they, else nothing.

    Inner products with any of these rows stay as they are, and nothing that follows knows more of an input. What a new
    input has outside the span is equally far from all of them.
    """
    if source.shape[1] <= len(source) + len(target):
        return lambda rows: rows
    basis = np.linalg.qr(np.concatenate([source, target]).T)[0]
    return lambda rows: rows @ basis


def head(kind: Head, rows: np.ndarray, labels: np.ndarray) -> Map:
    """Scores [., c] of a classifier of `kind`, fitted on rows [n, k] and labels [n]."""
    return nearest(rows, labels, 1) if kind == "1nn" else logistic(rows, labels)


def nearest(rows: np.ndarray, labels: np.ndarray, k: int) -> Map:
    """Log-shares of the votes of the k nearest of `rows` [n, d], and of one vote more, spread over all classes.

    Without that one, the shares of one neighbour would be 0 and 1, and their logarithm infinite.
    """
    from sklearn.neighbors import KNeighborsClassifier

    fitted = KNeighborsClassifier(n_neighbors=k).fit(rows, labels)

    def scores(new: np.ndarray) -> np.ndarray:
        shares = fitted.predict_proba(new)
        return all_classes(np.log((k * shares + 1 / shares.shape[1]) / (k + 1)), fitted.classes_)

    return scores


def logistic(rows: np.ndarray, labels: np.ndarray, c: float = 1.0, weights: np.ndarray | None = None) -> Map:
    """Logits of a logistic regression with L2 penalty on rows [n, d], each counted by its weight in weights [n]."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=c, max_iter=1000).fit(rows, labels, sample_weight=weights)

    def scores(new: np.ndarray) -> np.ndarray:
        logits = fitted.decision_function(new)
        return all_classes(logits if logits.ndim == 2 else np.stack([0 * logits, logits], axis=1), fitted.classes_)

    return scores


def all_classes(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Scores [n, k] of the k classes that the source has, as [n, c] with a column for every class below the largest."""
    whole = np.full((len(scores), int(classes.max()) + 1), ABSENT)
    whole[:, classes.astype(int)] = log_softmax(scores)
    return whole


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Scores [n, c] less the logarithm of the sum of their exponentials."""
    return scipy.special.log_softmax(scores, axis=1)


def principal(rows: np.ndarray, k: int) -> np.ndarray:
    """The k leading principal directions of rows [n, d], as columns [d, k]; fewer where rows vary in fewer."""
    centred = rows - rows.mean(axis=0)
    if len(rows) >= rows.shape[1]:
        return leading(centred.T @ centred, min(k, rows.shape[1]))[1]
    values, vectors = leading(centred @ centred.T, min(k, len(rows)))
    return centred.T @ vectors / np.sqrt(values)


def leading(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest eigenvalues [k] of a positive semi-definite matrix [r, r], falling, and their vectors [r, k].

    Fewer where the others are zero but for rounding. Beyond `DENSE` rows by Lanczos' method, O(k r^2).
    """
    r = len(matrix)
    if r <= max(DENSE, 3 * k):
        values, vectors = scipy.linalg.eigh(matrix, subset_by_index=(max(r - k, 0), r - 1))
    else:
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k, v0=np.random.default_rng(0).normal(size=r))
    kept = np.flatnonzero(values > NEGLIGIBLE * max(values.max(initial=0.0), np.finfo(float).tiny))[::-1]
    return values[kept], vectors[:, kept]


def median_distance(rows: np.ndarray) -> float:
    """The median distance between rows [n, d] that differ, over at most 1000 of them evenly spaced; 1 if none do."""
    from scipy.spatial.distance import pdist

    distances = pdist(rows[:: -(-len(rows) // 1000)])
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def gaussian(rows: np.ndarray, others: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-|x - y|^2 / (2 sigma^2)) [n, m] of rows x [n, d] and y [m, d]."""
    from scipy.spatial.distance import cdist

    return np.exp(cdist(rows, others, "sqeuclidean") / (-2 * sigma**2))
