"""Whether the predicted classes are clusters of the target's features: ClassAMI and the silhouette."""

import warnings

import numpy as np

from da_bench.evaluation.validators.base import Evidence, each, register

ITERATIONS = 50


@register("ClassAMI", "features")
def class_ami(evidence: Evidence) -> np.ndarray:
    """Adjusted mutual information of predicted classes and k-means clusters of the target's features, at most 1.

    As many clusters as classes; one start, by k-means++ with a fixed seed. NaN where all rows are predicted to be of
    one class: two labellings that say nothing agree.

    References: Musgrave, Belongie and Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
    Domain Adaptation, arXiv:2208.07360, Section 3.
    """
    return each(_agreement, evidence.seen.target, evidence.watched_logits)


@register("silhouette", "features")
def silhouette(evidence: Evidence) -> np.ndarray:
    """Mean silhouette of the target's features with the predicted classes as clusters, in [-1, 1].

    NaN where all rows are predicted to be of one class, or each of its own.

    References: Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 1987; as a validator
    (ClassSS): Musgrave, Belongie and Lim, arXiv:2208.07360, Section 3.
    """
    return each(_silhouette, evidence.seen.target, evidence.watched_logits)


def _agreement(features: np.ndarray, logits: np.ndarray) -> float:
    from scipy.cluster.vq import kmeans2
    from sklearn.metrics import adjusted_mutual_info_score

    predicted = logits.argmax(axis=1)
    if len(np.unique(predicted)) == 1:
        return float("nan")
    rows, count = np.asarray(features, np.float64), min(logits.shape[1], len(features))
    with warnings.catch_warnings():  # fewer distinct rows than clusters
        warnings.simplefilter("ignore")
        _, clusters = kmeans2(rows, count, ITERATIONS, minit="++", seed=0)
    return float(adjusted_mutual_info_score(predicted, clusters))


def _silhouette(features: np.ndarray, logits: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    predicted = logits.argmax(axis=1)
    if not 1 < len(np.unique(predicted)) < len(predicted):
        return float("nan")
    return float(silhouette_score(features, predicted))
