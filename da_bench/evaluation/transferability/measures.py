"""The transferability measures that every record holds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from da_bench.evaluation.transferability.distances import coral, mmd, sliced_wasserstein
from da_bench.evaluation.transferability.features import h_score, logme, regularised_h_score, transrate
from da_bench.evaluation.transferability.predictions import leep, nce

MAX_ROWS = 500  # of each domain


class TransferInputs(NamedTuple):
    """What the measures of one run are computed from. It holds target labels, so it must never choose a checkpoint.

    Attributes:
        source: features of the source test set [n, d].
        target: features of the target test set [m, d].
        p: probabilities that the model predicts on the target test set [m, c].
        labels: labels of the target test set [m].
    """

    source: np.ndarray
    target: np.ndarray
    p: np.ndarray
    labels: np.ndarray


class Measure(NamedTuple):
    """A transferability measure.

    Attributes:
        title: name in tables.
        compute: function from `TransferInputs` to the value.
    """

    title: str
    compute: Callable[[TransferInputs], float]


# N-LEEP is not here because it trains a mixture model. The proxy A-distance has a field of its own in a record,
# because it uses all rows.
MEASURES = {
    "mmd": Measure("MMD²", lambda s: mmd(s.source, s.target)),
    "coral": Measure("CORAL", lambda s: coral(s.source, s.target)),
    "sliced_wasserstein": Measure("sliced W2", lambda s: sliced_wasserstein(s.source, s.target)),
    "nce": Measure("NCE", lambda s: nce(s.p.argmax(axis=1), s.labels)),
    "leep": Measure("LEEP", lambda s: leep(s.p, s.labels)),
    "logme": Measure("LogME", lambda s: logme(s.target, s.labels)),
    "h_score": Measure("H-score", lambda s: h_score(s.target, s.labels)),
    "regularised_h_score": Measure("H-score (reg.)", lambda s: regularised_h_score(s.target, s.labels)),
    "transrate": Measure("TransRate", lambda s: transrate(s.target, s.labels)),
}


def measure(inputs: TransferInputs) -> dict[str, float]:
    """Value of every measure on the first `MAX_ROWS` rows of each domain.

    Args:
        inputs: features, predictions and labels of one run.

    Returns:
        The values by name. All are NaN if any number is not finite or a domain has only one row.
    """
    inputs = TransferInputs(*(rows[:MAX_ROWS] for rows in inputs))
    if not all(np.isfinite(rows).all() and len(rows) > 1 for rows in inputs):
        return dict.fromkeys(MEASURES, float("nan"))
    return {name: each.compute(inputs) for name, each in MEASURES.items()}
