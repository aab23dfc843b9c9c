"""Probability that one classifier is better than another, on one test set and on most of several.

References: Lacoste, Laviolette and Marchand, Bayesian Comparison of Machine Learning Algorithms on Single and Multiple
Datasets, AISTATS 2012.
"""

from collections.abc import Sequence

import numpy as np


def probability_better(wins: int, losses: int) -> float:
    """Probability that a classifier is truly better than another, from one test set.

    P(p > q) of the shares p and q of rows on which only the first or only the second is right, under their Dirichlet
    posterior from a uniform prior. Rows on which both agree in being right or wrong do not matter.

    Args:
        wins: number of test rows on which only the first classifier is right.
        losses: number of test rows on which only the second is right.

    Returns:
        Probability in (0, 1); 1/2 if wins and losses are equal.

    References: Lacoste et al. 2012, section 3.
    """
    from scipy.special import betainc

    return float(betainc(losses + 1, wins + 1, 0.5))


def probability_better_on_most(probabilities: Sequence[float]) -> float:
    """Probability that more than half of independent events happen; exactly half counts half.

    With the probabilities of `probability_better` on several test sets this is the Poisson-binomial test.

    Args:
        probabilities: probability of each event [k].

    Returns:
        Probability in [0, 1]; 1/2 if every probability is 1/2.

    References: Lacoste et al. 2012, section 4.
    """
    distribution = np.ones(1)
    for probability in probabilities:
        distribution = np.convolve(distribution, [1 - probability, probability])
    half = len(probabilities) / 2
    wins = np.arange(len(distribution))
    return float(distribution[wins > half].sum() + distribution[wins == half].sum() / 2)
