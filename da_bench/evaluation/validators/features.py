"""Validators of the features: are the predicted classes clusters, and are the domains aligned?"""

import warnings

import numpy as np

from da_bench.evaluation import transferability
from da_bench.evaluation.validators.base import ValidatorInputs, per_checkpoint, register

KMEANS_ITERATIONS = 50


@register("ClassAMI", "features")
def class_ami(inputs: ValidatorInputs) -> np.ndarray:
    """Adjusted mutual information of predicted classes and k-means clusters of the target's features.

    There are as many clusters as classes, from one k-means++ initialisation with a fixed seed.

    Args:
        inputs: inputs of a run; uses the target's features and logits.

    Returns:
        Scores [e], at most 1. NaN if all rows are predicted to be of one class: otherwise two labellings without any
        information would agree perfectly.

    References:
        Musgrave, Belongie and Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
        Adaptation, arXiv:2208.07360, Section 3.
    """
    from scipy.cluster.vq import kmeans2
    from sklearn.metrics import adjusted_mutual_info_score

    def score(features: np.ndarray, logits: np.ndarray) -> float:
        predicted = logits.argmax(axis=1)
        if len(np.unique(predicted)) == 1:
            return float("nan")
        rows, count = np.asarray(features, np.float64), min(logits.shape[1], len(features))
        with warnings.catch_warnings():  # k-means warns where there are fewer distinct rows than clusters
            warnings.simplefilter("ignore")
            _, clusters = kmeans2(rows, count, KMEANS_ITERATIONS, minit="++", seed=0)
        return float(adjusted_mutual_info_score(predicted, clusters))

    return per_checkpoint(score, *inputs.target_features_and_logits())


@register("silhouette", "features")
def silhouette(inputs: ValidatorInputs) -> np.ndarray:
    """Mean silhouette coefficient of the target's features, with the predicted classes as clusters.

    Args:
        inputs: inputs of a run; uses the target's features and logits.

    Returns:
        Scores [e] in [-1, 1]. NaN if all rows are predicted to be of one class, or each of its own.

    References:
        Rousseeuw, Silhouettes, Journal of Computational and Applied Mathematics 1987. As a validator (ClassSS):
        Musgrave, Belongie and Lim, arXiv:2208.07360, Section 3.
    """
    from sklearn.metrics import silhouette_score

    def score(features: np.ndarray, logits: np.ndarray) -> float:
        predicted = logits.argmax(axis=1)
        if not 1 < len(np.unique(predicted)) < len(predicted):
            return float("nan")
        return float(silhouette_score(features, predicted))

    return per_checkpoint(score, *inputs.target_features_and_logits())


@register("MMD", "features")
def mmd(inputs: ValidatorInputs) -> np.ndarray:
    """Negative squared maximum mean discrepancy between the features of source and target.

    Args:
        inputs: inputs of a run; uses the features of the training split and of the target.

    Returns:
        Scores [e]: near 0 if the distributions agree, else negative.

    References:
        Gretton et al., A Kernel Two-Sample Test, JMLR 2012, Eq. 3, see `transferability.mmd`. As a validator: Musgrave,
        Belongie and Lim, arXiv:2208.07360.
    """
    features = inputs.require_features()
    return per_checkpoint(lambda source, target: -transferability.mmd(source, target), features.train, features.target)
