"""How well the predictions of a source model tell the labels of the target: NCE, LEEP and N-LEEP."""

import warnings

import numpy as np

from da_bench.core.types import Array

EXPLAINED_VARIANCE = 0.8  # share of the variance that N-LEEP's projection keeps (Section 3.2)
GAUSSIANS_PER_CLASS = 5  # of N-LEEP's mixture (Section 3.2)


def nce(predicted: Array, labels: Array) -> float:
    """Negative conditional entropy -H(Y|Z) of the target's labels given the predicted source classes.

    Args:
        predicted: source classes Z that the model predicts on the target [n].
        labels: labels Y of the target [n].

    Returns:
        A number of at most 0, in nats.

    References:
        Tran, Nguyen and Hassner, Transferability and Hardness of Supervised Classification Tasks, ICCV 2019, Section 3.
    """
    return leep(np.eye(int(np.max(predicted)) + 1)[np.asarray(predicted)], labels)


def leep(p: Array, labels: Array) -> float:
    """Log expected empirical prediction: the mean over rows i of log sum_z P(y_i|z) p_i(z).

    P(y|z) is the empirical sum_i p_i(z) [y_i = y] / sum_i p_i(z). For one-hot p, LEEP equals NCE.

    Args:
        p: probabilities of the source classes, or any other soft assignment [n, z]; rows sum to 1.
        labels: labels y of the target [n], in 0..c-1.

    Returns:
        A number of at most 0, in nats.

    References:
        Nguyen, Hassner, Seeger and Archambeau, LEEP: A New Measure to Evaluate Transferability of Learned
        Representations, ICML 2020, Eqs. 1 and 2.
    """
    p, labels = np.asarray(p, np.float64), np.asarray(labels)
    members = labels == np.arange(int(labels.max()) + 1)[:, None]
    mass = p.sum(axis=0)
    conditional = (members @ p) / np.where(mass > 0, mass, 1.0)
    return float(np.mean(np.log(np.sum(conditional[labels] * p, axis=1))))


def n_leep(features: Array, labels: Array, gaussians: int | None = None, seed: int = 0) -> float:
    """LEEP with the posterior of a Gaussian mixture in place of a source classifier.

    The features are projected on the fewest principal components that explain `EXPLAINED_VARIANCE` of the variance.

    Args:
        features: features of the target [n, d].
        labels: labels of the target [n], in 0..c-1.
        gaussians: number of components of the mixture; None: `GAUSSIANS_PER_CLASS` for each class. At most n / 2.
        seed: seed of the mixture's initialisation.

    Returns:
        A number of at most 0, in nats. NaN if a feature is not finite.

    References:
        Li, Jia, Sang, Zhu, Green, Wang and Gong, Ranking Neural Checkpoints, CVPR 2021, Section 3.2.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    features = np.asarray(features, np.float64)
    if not np.isfinite(features).all():
        return float("nan")
    projected = PCA(EXPLAINED_VARIANCE, svd_solver="full").fit_transform(features)
    count = min(gaussians or GAUSSIANS_PER_CLASS * len(np.unique(labels)), len(features) // 2)
    mixture = GaussianMixture(count, random_state=seed)
    with warnings.catch_warnings():  # any soft assignment will do, converged or not
        warnings.simplefilter("ignore", ConvergenceWarning)
        return leep(mixture.fit(projected).predict_proba(projected), labels)
