"""What a record holds of how far apart the domains are, and of how well its features suit the target's labels."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from da_bench.evaluation.transferability.distances import coral, mmd, sliced_wasserstein
from da_bench.evaluation.transferability.hscore import h_score, regularised_h_score
from da_bench.evaluation.transferability.leep import leep, nce
from da_bench.evaluation.transferability.logme import logme
from da_bench.evaluation.transferability.transrate import transrate

LIMIT = 500  # rows of each domain, at most


class Sample(NamedTuple):
    """Features of both domains, source [n, d] and target [m, d]; p [m, c]: what the model predicts on the target, as
    probabilities; labels [m]: the target's. For judging only: nothing of it chooses a checkpoint.
    """

    source: np.ndarray
    target: np.ndarray
    p: np.ndarray
    labels: np.ndarray


class Measure(NamedTuple):
    """title: how tables call it; of: sample -> number."""

    title: str
    of: Callable[[Sample], float]


# N-LEEP and the neural A-distance train something: they are for who asks. The proxy A-distance, of all rows, has a
# place of its own in a record.
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


def measure(sample: Sample) -> dict[str, float]:
    """Every measure of the first LIMIT rows of each domain.

    All are NaN if a number of the sample is not finite, or a domain has but one row.
    """
    sample = Sample(*(rows[:LIMIT] for rows in sample))
    if not all(np.isfinite(rows).all() and len(rows) > 1 for rows in sample):
        return dict.fromkeys(MEASURES, float("nan"))
    return {name: one.of(sample) for name, one in MEASURES.items()}
