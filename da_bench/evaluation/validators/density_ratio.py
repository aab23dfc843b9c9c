"""Density ratio of two domains, estimated by a classifier that separates them."""

import warnings

import numpy as np

from da_bench.core.types import Array

MAX_ITERATIONS = 100  # of L-BFGS
MAX_LOGIT = 30.0  # logits are clipped here, so that weights stay finite


def density_ratio(source: Array, target: Array, queries: Array) -> np.ndarray:
    """Density ratio p_target / p_source = (t / u) P(target|x) / P(source|x).

    The probabilities come from a logistic regression (C = 1) on features with mean 0 and variance 1.

    Args:
        source: features of the source [t, d].
        target: features of the target [u, d].
        queries: features at which the ratio is evaluated [v, d].

    Returns:
        The ratios [v], positive.

    References:
        Bickel, Brueckner and Scheffer, Discriminative Learning for Differing Training and Test Distributions, ICML
        2007, Eq. 5.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    pooled = np.concatenate([source, target]).astype(np.float64)
    mean, scale = pooled.mean(axis=0), pooled.std(axis=0)
    scale[scale == 0] = 1.0
    domain = np.repeat([0, 1], [len(source), len(target)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(max_iter=MAX_ITERATIONS).fit((pooled - mean) / scale, domain)
    logits = classifier.decision_function((queries - mean) / scale)
    return len(source) / len(target) * np.exp(np.clip(logits, -MAX_LOGIT, MAX_LOGIT))
