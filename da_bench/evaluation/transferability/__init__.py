"""How far apart two domains are, and how well features of one suit the other: one family a file, numpy in float64."""

from da_bench.evaluation.transferability.distances import (
    coral,
    mmd,
    neural_a_distance,
    proxy_a_distance,
    sliced_wasserstein,
    squared_distances,
)
from da_bench.evaluation.transferability.hscore import h_score, regularised_h_score
from da_bench.evaluation.transferability.leep import leep, n_leep, nce
from da_bench.evaluation.transferability.logme import logme
from da_bench.evaluation.transferability.measures import MEASURES, Sample, measure
from da_bench.evaluation.transferability.transrate import transrate

__all__ = [
    "MEASURES",
    "Sample",
    "coral",
    "h_score",
    "leep",
    "logme",
    "measure",
    "mmd",
    "n_leep",
    "nce",
    "neural_a_distance",
    "proxy_a_distance",
    "regularised_h_score",
    "sliced_wasserstein",
    "squared_distances",
    "transrate",
]
