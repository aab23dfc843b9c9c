"""Transferability: distances between two domains, and how well features suit the labels of a target.

All measures are numpy functions that compute in float64. `MEASURES` lists those that every record holds. To add one,
write the function in one of the files here and add an entry to `MEASURES`.
"""

from da_bench.classical.a_distance import proxy_a_distance
from da_bench.evaluation.transferability.distances import coral, mmd, sliced_wasserstein, squared_distances
from da_bench.evaluation.transferability.features import h_score, logme, regularised_h_score, transrate
from da_bench.evaluation.transferability.measures import MEASURES, TransferInputs, measure
from da_bench.evaluation.transferability.predictions import leep, n_leep, nce

__all__ = [
    "MEASURES",
    "TransferInputs",
    "coral",
    "h_score",
    "leep",
    "logme",
    "measure",
    "mmd",
    "n_leep",
    "nce",
    "proxy_a_distance",
    "regularised_h_score",
    "sliced_wasserstein",
    "squared_distances",
    "transrate",
]
