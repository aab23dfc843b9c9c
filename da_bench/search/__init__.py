"""Search for hyper-parameters: the same budget for every method, source only included, from declared spaces."""

from da_bench.search.adaptive import Budget, adaptive
from da_bench.search.draws import over_trials, trials

__all__ = ["Budget", "adaptive", "over_trials", "trials"]
