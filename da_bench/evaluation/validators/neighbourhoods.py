"""Validators that compare target rows with other rows: MixVal, SND and kNN."""

import numpy as np
import scipy.special

from da_bench.evaluation.transferability import squared_distances
from da_bench.evaluation.validators.base import (
    MAX_ROWS,
    ValidatorInputs,
    entropy,
    per_checkpoint,
    register,
    target_probabilities,
)

MIXVAL_WEIGHT = 0.55  # weight of a row in its mixture with the next one
SND_TEMPERATURE = 0.05


@register("MixVal", "mixed_logits")
def mixval(inputs: ValidatorInputs) -> np.ndarray:
    """Share of mixtures that are predicted like the row that dominates them, averaged over two groups.

    Row i of the first k target rows is mixed with row i + 1 (the last with the first) to
    `MIXVAL_WEIGHT` x_i + (1 - `MIXVAL_WEIGHT`) x_(i+1); its pseudo-label is the prediction for x_i. The groups are the
    pairs with equal pseudo-labels (intra-cluster) and with different ones (inter-cluster). If no two pseudo-labels are
    equal, the inter-cluster group counts alone.

    Equal pseudo-labels occur by chance in about k / c of the k pairs. With many classes this group is small, and half
    of the score is correspondingly uncertain.

    The paper averages the ranks of both groups over the candidates, and draws new mixtures for each candidate. Here the
    shares themselves are averaged and all checkpoints use the same mixtures, so that a score does not depend on others.

    Args:
        inputs: inputs of a run; uses `target_logits` and `mixed_logits`.

    Returns:
        Scores [e] in [0, 1]. NaN if all pseudo-labels are equal: a collapsed network predicts every mixture
        consistently.

    References:
        Hu, Liang, Liew, Xue, Bai and Wang, Mixed Samples as Probes for Unsupervised Model Selection in Domain
        Adaptation, NeurIPS 2023, Algorithm 1.
    """
    mixed = np.asarray(inputs.mixed_logits)
    return per_checkpoint(mixture_consistency, np.asarray(inputs.target_logits)[:, : mixed.shape[1]], mixed)


def mixture_consistency(logits: np.ndarray, mixed_logits: np.ndarray) -> float:
    """MixVal score of one checkpoint, from the logits of rows and of their mixtures, both [k, c]."""
    predicted = logits.argmax(axis=1)
    consistent = mixed_logits.argmax(axis=1) == predicted
    intra_cluster = predicted == np.roll(predicted, -1)
    if intra_cluster.all():
        return float("nan")
    return float(np.mean([consistent[group].mean() for group in (intra_cluster, ~intra_cluster) if group.any()]))


@register("SND")
def snd(inputs: ValidatorInputs) -> np.ndarray:
    """Soft neighbourhood density: mean entropy of each target row's softmax over its similarities to other rows.

    The similarity is the cosine between two predictions, divided by `SND_TEMPERATURE`; a row is no neighbour of itself.
    The score is high if the classes are dense clusters, but also if all predictions are equal.

    Args:
        inputs: inputs of a run; uses the first `MAX_ROWS` rows of `target_logits`.

    Returns:
        Scores [e] in [0, log(u - 1)] nats. NaN if there is a single row.

    References:
        Saito, Kim, Teterwak, Sclaroff, Darrell and Saenko, Tune it the Right Way: Unsupervised Validation of Domain
        Adaptation via Soft Neighborhood Density, ICCV 2021, Eqs. 1-3.
    """
    return per_checkpoint(_neighbourhood_density, target_probabilities(inputs)[:, :MAX_ROWS])


def _neighbourhood_density(p: np.ndarray) -> float:
    """SND score of one checkpoint, from predictions p [u, c]."""
    if len(p) < 2:
        return float("nan")
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    similarity = unit @ unit.T / SND_TEMPERATURE
    np.fill_diagonal(similarity, -np.inf)
    return float(entropy(scipy.special.softmax(similarity, axis=-1)).mean())


@register("kNN", "features")
def knn(inputs: ValidatorInputs) -> np.ndarray:
    """Negative share of rows whose nearest neighbour is of their own domain, averaged over both domains.

    Args:
        inputs: inputs of a run; uses the features of the training split and of the target.

    Returns:
        Scores [e] in [-1, 0]: -1 if the domains are separate; about -1/2 if their distributions and numbers of rows
        are equal.

    References:
        KNN validator of the pytorch-adapt library (precision at 1 with the domain as the label): Musgrave, Belongie and
        Lim, arXiv:2211.15673.
    """
    features = inputs.require_features()
    return per_checkpoint(domain_mixing, features.train, features.target)


def domain_mixing(source: np.ndarray, target: np.ndarray) -> float:
    """kNN score of one checkpoint, from features of the source [t, d] and the target [u, d]."""
    distances = squared_distances(np.concatenate([source, target]))
    np.fill_diagonal(distances, np.inf)
    is_target = np.arange(len(distances)) >= len(source)
    same_domain = is_target[distances.argmin(axis=1)] == is_target
    return -float(same_domain[~is_target].mean() + same_domain[is_target].mean()) / 2
