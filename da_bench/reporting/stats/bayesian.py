"""Probability that one classifier is better than another, on one test set and on most of several."""

from collections.abc import Sequence

import numpy as np


def probability_better(wins: int, losses: int) -> float:
    """Chance that a classifier is truly the better of two that differ on `wins` + `losses` of one test set's rows.

    wins, losses: rows on which it alone is right, and wrong. P(p > q) of the two shares p and q under their Dirichlet
    posterior from a uniform prior, in which rows that both get right or wrong have no part: 1/2 where they are equal.

    References: Lacoste, Laviolette and Marchand, Bayesian Comparison of Machine Learning Algorithms on Single and
    Multiple Datasets, AISTATS 2012, section 3.
    """
    from scipy.special import betainc

    return float(betainc(losses + 1, wins + 1, 0.5))


def probability_better_on_most(chances: Sequence[float]) -> float:
    """Chance that more than half of independent events of such chances happen, one half exactly counting half.

    The Poisson-binomial test of `beats` over pairs; with every chance 1/2 it is 1/2.

    References: Lacoste, Laviolette and Marchand, AISTATS 2012, section 4.
    """
    counts = np.ones(1)
    for chance in chances:
        counts = np.convolve(counts, [1 - chance, chance])
    half = len(chances) / 2
    wins = np.arange(len(counts))
    return float(counts[wins > half].sum() + counts[wins == half].sum() / 2)
