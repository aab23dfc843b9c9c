"""Who lies beside whom: soft neighbourhoods of the target's predictions, nearest neighbours across the domains."""

import numpy as np

from da_bench.evaluation.transferability import squared_distances
from da_bench.evaluation.validators.base import ROWS, Evidence, each, entropy, register, softmax, target_probabilities

TEMPERATURE = 0.05


@register("SND")
def snd(evidence: Evidence) -> np.ndarray:
    """Soft neighbourhood density: mean entropy, in nats, of each target row's softmax over its similarity to others.

    The similarity is the cosine between two predictions, over TEMPERATURE; a row is no neighbour of itself. Of the
    first ROWS target rows. High where classes are dense clusters, and also where all predictions are the same.

    References: Saito, Kim, Teterwak, Sclaroff, Darrell and Saenko, Tune it the Right Way: Unsupervised Validation of
    Domain Adaptation via Soft Neighborhood Density, ICCV 2021, Eqs. 1-3.
    """
    p = target_probabilities(evidence)[:, :ROWS]
    return each(density, p)


def density(p: np.ndarray) -> float:
    """Soft neighbourhood density of rows p [u, c] at one checkpoint, between 0 and log(u - 1); NaN of a row alone."""
    if len(p) < 2:
        return float("nan")
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    similarity = unit @ unit.T / TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(entropy(softmax(similarity)).mean())


@register("kNN", "features")
def knn(evidence: Evidence) -> np.ndarray:
    """Minus the share of rows whose nearest neighbour is of their own domain, the mean of both domains' shares.

    -1 where the domains are apart, about -1/2 where they are one and as many rows are of each. Euclidean distance of
    the features of source training rows and of target rows.

    References: the KNN validator of the pytorch-adapt library (precision at 1 of the domain as the label): Musgrave,
    Belongie and Lim, arXiv:2211.15673.
    """
    return each(mixing, evidence.seen.train, evidence.seen.target)


def mixing(source: np.ndarray, target: np.ndarray) -> float:
    """The score of `knn` at one checkpoint, of source [t, d] and target [u, d]."""
    distances = squared_distances(np.concatenate([source, target]))
    np.fill_diagonal(distances, np.inf)
    of_target = np.arange(len(distances)) >= len(source)
    own = of_target[distances.argmin(axis=1)] == of_target
    return -float(own[~of_target].mean() + own[of_target].mean()) / 2
