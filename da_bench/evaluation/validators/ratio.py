"""The density ratio of two domains, by a classifier that tells them apart."""

import warnings

import numpy as np

from da_bench.core.types import Array

ITERATIONS = 100  # of L-BFGS
LARGEST = 30.0  # logit of a domain beyond which a weight is but a number too large


def density_ratio(source: Array, target: Array, asked: Array) -> np.ndarray:
    """p_target / p_source [v] at the rows asked [v, d], from source [t, d] and target [u, d].

    (t / u) P(target|x) / P(source|x) by logistic regression (C = 1) on features of mean 0 and variance 1.

    References: Bickel, Brueckner and Scheffer, Discriminative Learning for Differing Training and Test Distributions,
    ICML 2007, Eq. 5.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    pooled = np.concatenate([source, target]).astype(np.float64)
    centre, scale = pooled.mean(axis=0), pooled.std(axis=0)
    scale[scale == 0] = 1.0
    domain = np.repeat([0, 1], [len(source), len(target)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(max_iter=ITERATIONS).fit((pooled - centre) / scale, domain)
    logits = fitted.decision_function((asked - centre) / scale)
    return len(source) / len(target) * np.exp(np.clip(logits, -LARGEST, LARGEST))
