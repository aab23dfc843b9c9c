"""MixVal: mixtures of target inputs as probes of what lies within and between the classes."""

import numpy as np

from da_bench.evaluation.validators.base import Evidence, each, register

SHARE = 0.55  # of the row itself in its mixture with the next one


@register("MixVal", "mixed_logits")
def mixval(evidence: Evidence) -> np.ndarray:
    """Share of mixtures predicted as the row that dominates them, in [0, 1]: mean of two groups' shares.

    Row i of the first k target rows is mixed with row i + 1, the last with the first: SHARE x_i + (1 - SHARE) x_(i+1);
    its pseudo-label is the prediction of x_i. The groups are pairs of equal and of different pseudo-labels (intra- and
    inter-cluster); where none are equal, the other counts alone; NaN where all are of one class, as a collapsed
    network's mixtures always are. Equal ones come by chance, about k / c of k: with many classes they are few, and half
    of the score is as uncertain. The paper averages the ranks of the groups' shares over the candidates, and mixes anew
    for each; here the shares themselves, and one mixture for all, so that a score stands by itself.

    References: Hu, Liang, Liew, Xue, Bai and Wang, Mixed Samples as Probes for Unsupervised Model Selection in Domain
    Adaptation, NeurIPS 2023, Algorithm 1.
    """
    mixed = np.asarray(evidence.mixed_logits)
    return each(consistency, np.asarray(evidence.target_logits)[:, : mixed.shape[1]], mixed)


def consistency(plain: np.ndarray, mixed: np.ndarray) -> float:
    """The score of `mixval` at one checkpoint, from logits of rows and of their mixtures [k, c]."""
    predicted = plain.argmax(axis=1)
    kept, alike = mixed.argmax(axis=1) == predicted, predicted == np.roll(predicted, -1)
    if alike.all():
        return float("nan")
    return float(np.mean([kept[group].mean() for group in (alike, ~alike) if group.any()]))
