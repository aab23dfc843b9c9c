"""How well what a source model predicts on the target tells the target's labels: NCE, LEEP and N-LEEP."""

import warnings

import numpy as np

from da_bench.core.types import Array

ENERGY = 0.8  # share of the variance that N-LEEP's projection keeps (Section 3.2)
RATIO = 5  # its Gaussians for each class of the target


def nce(predicted: Array, labels: Array) -> float:
    """Negative conditional entropy -H(Y|Z) in nats, at most 0, of labels [n] given the source classes [n] predicted.

    References: Tran, Nguyen and Hassner, Transferability and Hardness of Supervised Classification Tasks, ICCV 2019,
    Section 3.
    """
    return leep(np.eye(int(np.max(predicted)) + 1)[np.asarray(predicted)], labels)


def leep(p: Array, labels: Array) -> float:
    """Log expected empirical prediction in nats, at most 0: mean of log sum_z P(y_i|z) p_i(z).

    p [n, z]: probabilities of the source classes (any soft assignment will do); labels [n]: of the target, 0..c-1.
    P(y|z) is the empirical sum_i p_i(z) [y_i = y] / sum_i p_i(z). Of hard p it is NCE.

    References: Nguyen, Hassner, Seeger and Archambeau, LEEP: A New Measure to Evaluate Transferability of Learned
    Representations, ICML 2020, Eqs. 1 and 2.
    """
    p, labels = np.asarray(p, np.float64), np.asarray(labels)
    members = labels == np.arange(int(labels.max()) + 1)[:, None]
    mass = p.sum(axis=0)
    conditional = (members @ p) / np.where(mass > 0, mass, 1.0)
    return float(np.mean(np.log(np.sum(conditional[labels] * p, axis=1))))


def n_leep(features: Array, labels: Array, gaussians: int | None = None, seed: int = 0) -> float:
    """LEEP of the posterior of a mixture of Gaussians, in the place of a source classifier, in nats.

    features [n, d] are projected on the fewest principal components that hold ENERGY of their variance; gaussians:
    default RATIO for each class of labels [n], at most n / 2; seed: of the mixture's start. NaN if a feature is not
    finite.

    References: Li, Jia, Sang, Zhu, Green, Wang and Gong, Ranking Neural Checkpoints, CVPR 2021, Section 3.2.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    projected = PCA(ENERGY, svd_solver="full").fit_transform(features)
    count = min(gaussians or RATIO * len(np.unique(labels)), len(features) // 2)
    mixture = GaussianMixture(count, random_state=seed)
    with warnings.catch_warnings():  # any soft assignment will do
        warnings.simplefilter("ignore", ConvergenceWarning)
        return leep(mixture.fit(projected).predict_proba(projected), labels)
