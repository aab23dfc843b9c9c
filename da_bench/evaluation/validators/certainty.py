"""What the target predictions p say by themselves: are they sure, and are they of all classes?"""

import numpy as np

from da_bench.evaluation.validators.base import Evidence, each, entropy, register, source_accuracy, target_probabilities

FLOOR = 0.05  # how far below its best source-validation accuracy a checkpoint may lie and still be chosen by `im`


@register("IM + source-val floor")
def im(evidence: Evidence) -> np.ndarray:
    """Information maximisation: H(mean p) - mean H(p) of the target predictions p, in nats, with a source floor.

    A checkpoint whose source-validation accuracy lies more than FLOOR under the best of its run scores -inf: the tail
    of collapsed checkpoints that are confident, diverse and wrong is where label-free selection does its harm. Between
    runs, as among the settings of a search, there is no such floor: one that never learned the source passes its own.

    References: Krause, Perona and Gomes, Discriminative Clustering by Regularized Information Maximization, NIPS 2010;
    as a validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    validation = source_accuracy(evidence)
    best = np.max(validation, where=np.isfinite(validation), initial=-np.inf)
    return np.where(validation >= best - FLOOR, information_maximisation(evidence), -np.inf)


@register("IM")
def information_maximisation(evidence: Evidence) -> np.ndarray:
    """H(mean p) - mean H(p) of the target predictions p, in nats: `diversity` and `target_entropy` together.

    References: as `im`.
    """
    return diversity(evidence) + target_entropy(evidence)


@register("target entropy")
def target_entropy(evidence: Evidence) -> np.ndarray:
    """-mean H(p) of the target predictions p, in nats: 0 where all are sure, -log c where none is.

    References: Morerio, Cavazza and Murino, Minimal-Entropy Correlation Alignment, ICLR 2018, Section 4.
    """
    return -entropy(target_probabilities(evidence)).mean(axis=1)


@register("diversity")
def diversity(evidence: Evidence) -> np.ndarray:
    """H(mean p) of the target predictions p, in nats: log c where they are of all classes alike.

    References: Musgrave, Belongie and Lim, Three New Validators and a Large-Scale Benchmark Ranking for Unsupervised
    Domain Adaptation, arXiv:2208.07360, Section 3.
    """
    return entropy(target_probabilities(evidence).mean(axis=1))


@register("BNM")
def bnm(evidence: Evidence) -> np.ndarray:
    """Batch nuclear norm: the sum of the singular values of the target predictions [u, c], over u.

    References: Cui et al., Towards Discriminability and Diversity: Batch Nuclear-norm Maximization under Label
    Insufficient Situations, CVPR 2020, Eq. 12; as a validator: Musgrave, Belongie and Lim, arXiv:2208.07360.
    """
    p = target_probabilities(evidence)
    return each(lambda one: np.linalg.svd(one, compute_uv=False).sum() / len(one), p)
