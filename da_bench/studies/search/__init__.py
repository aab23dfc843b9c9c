"""Search for hyper-parameters: the same budget for every method, source only included, from declared spaces."""

from da_bench.studies.search.draws import over_trials
from da_bench.studies.search.tpe import Budget, adaptive

__all__ = ["Budget", "adaptive", "over_trials"]
