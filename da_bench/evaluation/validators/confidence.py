"""Validators of the target predictions p alone: are they confident, and do they use all classes?"""

import numpy as np

from da_bench.evaluation.validators.base import (
    ValidatorInputs,
    checkpoint_accuracy,
    entropy,
    per_checkpoint,
    register,
    target_probabilities,
)

SOURCE_ACCURACY_MARGIN = 0.05  # how far below the run's best source accuracy a checkpoint may be for `im`


@register("IM + source-val floor")
def im(inputs: ValidatorInputs) -> np.ndarray:
    """Information maximisation H(mean p) - mean H(p) with a lower bound on the source accuracy.

    A checkpoint whose accuracy on the source's validation split is more than `SOURCE_ACCURACY_MARGIN` below the best of
    its run scores -inf. This excludes the collapsed checkpoints that are confident, diverse and wrong, where label-free
    selection does most harm. The bound is relative to the run, so between runs (as among the settings of a search) it
    has no effect: a run that never learned the source passes its own bound.

    Args:
        inputs: inputs of a run; uses the logits of both validation splits.

    Returns:
        Scores [e] in [0, log c] nats, or -inf.

    References:
        Krause, Perona and Gomes, Discriminative Clustering by Regularized Information Maximization, NIPS 2010. As a
        validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    accuracy = checkpoint_accuracy(inputs.validation_logits, inputs.validation_labels)
    best = np.max(accuracy, where=np.isfinite(accuracy), initial=-np.inf)
    return np.where(accuracy >= best - SOURCE_ACCURACY_MARGIN, information_maximisation(inputs), -np.inf)


@register("IM")
def information_maximisation(inputs: ValidatorInputs) -> np.ndarray:
    """Information maximisation H(mean p) - mean H(p): `diversity` plus `target_entropy`.

    Args:
        inputs: inputs of a run; uses `target_logits`.

    Returns:
        Scores [e] in [0, log c] nats.

    References:
        Krause, Perona and Gomes, Discriminative Clustering by Regularized Information Maximization, NIPS 2010. As a
        validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    return diversity(inputs) + target_entropy(inputs)


@register("target entropy")
def target_entropy(inputs: ValidatorInputs) -> np.ndarray:
    """Negative mean entropy -mean H(p) of the target predictions.

    Args:
        inputs: inputs of a run; uses `target_logits`.

    Returns:
        Scores [e] in [-log c, 0] nats: 0 if all predictions are certain.

    References:
        Morerio, Cavazza and Murino, Minimal-Entropy Correlation Alignment, ICLR 2018, Section 4.
    """
    return -entropy(target_probabilities(inputs)).mean(axis=1)


@register("diversity")
def diversity(inputs: ValidatorInputs) -> np.ndarray:
    """Entropy H(mean p) of the mean target prediction.

    Args:
        inputs: inputs of a run; uses `target_logits`.

    Returns:
        Scores [e] in [0, log c] nats: log c if all classes are predicted equally often.

    References:
        Musgrave, Belongie and Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised Domain
        Adaptation, arXiv:2208.07360, Section 3.
    """
    return entropy(target_probabilities(inputs).mean(axis=1))


@register("BNM")
def bnm(inputs: ValidatorInputs) -> np.ndarray:
    """Batch nuclear norm |p|_* / u: the sum of the singular values of the target predictions [u, c], divided by u.

    Args:
        inputs: inputs of a run; uses `target_logits`.

    Returns:
        Scores [e], positive.

    References:
        Cui et al., Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label Insufficient
        Situations, CVPR 2020, Eq. 12. As a validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    return per_checkpoint(
        lambda p: np.linalg.svd(p, compute_uv=False).sum() / len(p),
        target_probabilities(inputs),
    )
