"""Checks and scaling of the inputs of classical methods."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array

Transform = Callable[[np.ndarray], np.ndarray]  # rows [n, a] -> rows [n, b]
Normalise = Literal["none", "l1", "l2"]
Scaling = Literal["source", "each", "none"]


class TrainingRows(NamedTuple):
    """The training rows of both domains in float64.

    Attributes:
        source: inputs of the source [n, d].
        labels: labels of the source [n].
        target: inputs of the target [m, d].
    """

    source: np.ndarray
    labels: np.ndarray
    target: np.ndarray


def validate_rows(name: str, source: Array, labels: Array, target: Array) -> TrainingRows:
    """Convert the training rows to float64 and check them.

    Args:
        name: name of the method, for error messages.
        source: inputs of the source [n, d].
        labels: labels of the source [n].
        target: inputs of the target [m, d].

    Returns:
        The converted rows.

    Raises:
        UserError: an input is not finite, or the source has only one class.
    """
    rows = TrainingRows(np.asarray(source, np.float64), np.asarray(labels), np.asarray(target, np.float64))
    for domain, inputs in (("source", rows.source), ("target", rows.target)):
        if not np.isfinite(inputs).all():
            raise UserError(f"{name}: inputs of the {domain} contain NaN or infinity; remove these rows or columns")
    if len(np.unique(rows.labels)) < 2:
        raise UserError(f"{name}: all training rows of the source are of one class; at least two classes are needed")
    return rows


def normalise_rows(rows: np.ndarray, norm: Normalise) -> np.ndarray:
    """Rows [n, d], each divided by its l1 or l2 norm; a row of zeros is unchanged."""
    if norm == "none":
        return rows
    norms = np.linalg.norm(rows, ord={"l1": 1, "l2": 2}[norm], axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def fit_standardiser(rows: np.ndarray) -> Transform:
    """Transform that gives each column of `rows` [n, d] mean 0 and variance 1; a constant column becomes 0."""
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(rows).transform


def fit_scalers(rows: TrainingRows, normalise: Normalise, scaling: Scaling) -> tuple[Transform, Transform]:
    """Transforms of source rows and of target rows: division by a norm, then standardisation.

    Args:
        rows: training rows, from which the means and standard deviations are computed.
        normalise: norm by which each row is divided.
        scaling: "source" standardises both domains by the statistics of the source, "each" standardises each domain by
            its own, "none" does not standardise.

    Returns:
        (transform of source rows, transform of target rows).
    """

    def fit(domain: np.ndarray) -> Transform:
        if scaling == "none":
            return lambda new: normalise_rows(new, normalise)
        standardise = fit_standardiser(normalise_rows(domain, normalise))
        return lambda new: standardise(normalise_rows(new, normalise))

    source = fit(rows.source)
    return source, fit(rows.target) if scaling == "each" else source


def fit_span_projection(source: np.ndarray, target: np.ndarray) -> Transform:
    """Projection on the span of all training rows if these are fewer than the columns, else the identity.

    It preserves all inner products with training rows, so it loses nothing that a method can use. The component of a
    new row outside the span is equally far from all of them.

    Args:
        source: rows of the source [n, d].
        target: rows of the target [m, d].

    Returns:
        Transform of rows [., d] to rows [., min(d, n + m)].
    """
    if source.shape[1] <= len(source) + len(target):
        return lambda rows: rows
    basis = np.linalg.qr(np.concatenate([source, target]).T)[0]
    return lambda rows: rows @ basis
