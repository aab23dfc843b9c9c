"""How far apart two domains are: A-distances, maximum mean discrepancy, CORAL, sliced Wasserstein."""

import warnings
from typing import Any

import numpy as np

from da_bench.core.types import Array

CS = np.logspace(-5, 4, 10)
HIDDEN = 64


def proxy_a_distance(source: Array, target: Array, limit: int = 500, seed: int = 0) -> float:
    """2 (1 - 2 error) of a linear classifier that tells source [n, d] from target [m, d]: 0 alike, 2 separable.

    Ganin et al. (JMLR 2016, Section 5.1.5): a linear SVM trained on half of the two samples, tested on the other half,
    the smallest test error over C in {1e-5, ..., 1e4}; an error above 1/2 is folded to 1 - error. At most `limit` rows
    of each domain, as many of one as of the other, drawn by `seed`. Features are scaled to unit variance first, which
    the paper's bags of words did not need. NaN if a feature is not finite.
    """
    rows = _even_halves(np.asarray(source, np.float64), np.asarray(target, np.float64), limit, seed)
    if not all(np.isfinite(half).all() for half in rows):
        return float("nan")
    errors = [_error(*rows, c) for c in CS]
    return 2 * (1 - 2 * min(min(error, 1 - error) for error in errors))


def neural_a_distance(source: Array, target: Array, limit: int = 500, seed: int = 0) -> float:
    """2 (1 - 2 error) of a network with one hidden layer of HIDDEN ReLUs that tells source [n, d] from target [m, d].

    Rows, halves, scaling and folding of the error as in `proxy_a_distance`; it sees what no line separates, such as
    two spreads about one mean. Trained by Adam until the loss rests, its start drawn by `seed`. NaN if a feature is
    not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    rows = _even_halves(np.asarray(source, np.float64), np.asarray(target, np.float64), limit, seed)
    if not all(np.isfinite(half).all() for half in rows):
        return float("nan")
    machine = MLPClassifier((HIDDEN,), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        error = _tested(machine, *rows)
    return 2 * (1 - 2 * min(error, 1 - error))


def mmd(source: Array, target: Array, limit: int = 500) -> float:
    """Squared maximum mean discrepancy of source [n, d] and target [m, d], unbiased, so near 0 or below if they agree.

    k(x, y) = exp(-|x - y|^2 / (2 s^2)), s the median distance between two of all rows. The first `limit` rows of each.
    NaN if a feature is not finite, a domain has but one row, or most rows are one.

    References: Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A Kernel Two-Sample Test, JMLR 2012, Eq. 3.
    """
    n, m = min(len(source), limit), min(len(target), limit)
    if min(n, m) < 2:
        return float("nan")
    squares = squared_distances(np.concatenate([source[:n], target[:m]]))
    median = np.median(squares[np.triu_indices(n + m, 1)])
    if not median > 0:
        return float("nan")
    kernel = np.exp(-squares / (2 * median))
    within = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (kernel[:n, :n], kernel[n:, n:])]
    return float(sum(within) - 2 * kernel[:n, n:].sum() / (n * m))


def squared_distances(rows: Array) -> np.ndarray:
    """Squared Euclidean distances between rows [n, d]: [n, n], its diagonal exactly 0."""
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(axis=0)  # far from the origin, the difference below would cancel
    norms = np.sum(rows**2, axis=1)
    squares: np.ndarray = np.maximum(norms[:, None] + norms - 2 * rows @ rows.T, 0.0)
    np.fill_diagonal(squares, 0.0)
    return squares


def coral(source: Array, target: Array) -> float:
    """Squared Frobenius distance between the covariances of source [n, d] and target [m, d], over 4 d^2.

    References: Sun and Saenko, Deep CORAL, ECCV Workshops 2016. arXiv:1607.01719, Eq. 1.
    """
    first, second = (np.atleast_2d(np.cov(np.asarray(x, np.float64), rowvar=False)) for x in (source, target))
    return float(np.sum((first - second) ** 2) / (4 * len(first) ** 2))


def sliced_wasserstein(source: Array, target: Array, directions: int = 100, seed: int = 0) -> float:
    """Root of the mean squared 2-Wasserstein distance of source [n, d] and target [m, d] along random directions.

    directions: unit vectors, drawn evenly by `seed`; along each, the two empirical quantile functions are compared at
    max(n, m) points, which is exact where n = m. In units of the features.

    References: Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein Barycenters of Measures, Journal of
    Mathematical Imaging and Vision 2015, Section 2.
    """
    first, second = (np.asarray(x, np.float64) for x in (source, target))
    drawn = np.random.default_rng(seed).normal(size=(first.shape[1], directions))
    drawn /= np.linalg.norm(drawn, axis=0)
    count = max(len(first), len(second))
    one, other = (_quantiles(np.sort(x @ drawn, axis=0), count) for x in (first, second))
    return float(np.sqrt(np.mean((one - other) ** 2)))


def _quantiles(ordered: np.ndarray, count: int) -> np.ndarray:
    """The empirical quantile functions of the columns of ordered [n, k] at (i + 1/2) / count: [count, k]."""
    return ordered[((np.arange(count) + 0.5) / count * len(ordered)).astype(int)]


def _even_halves(source: np.ndarray, target: np.ndarray, limit: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(train, test), each with its source rows first and as many target rows after them."""
    generator = np.random.default_rng(seed)
    half = min(len(source), len(target), limit) // 2
    first, second = (x[generator.permutation(len(x))[: 2 * half]] for x in (source, target))
    pooled = np.concatenate([first, second])
    centre, scale = pooled.mean(axis=0), pooled.std(axis=0)
    first, second = ((x - centre) / np.where(scale > 0, scale, 1.0) for x in (first, second))
    return np.concatenate([first[:half], second[:half]]), np.concatenate([first[half:], second[half:]])


def _error(train: np.ndarray, test: np.ndarray, c: float) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    # dual=False: the primal problem by Newton's method, exact, and quick where rows outnumber features
    machine = LinearSVC(C=c, dual=False)
    with warnings.catch_warnings():  # a huge C on separable domains never converges, and need not: the error is known
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _tested(machine, train, test)


def _tested(machine: Any, train: np.ndarray, test: np.ndarray) -> float:
    """Test error of a classifier of domains, trained on as many rows of each."""
    domain = np.repeat([0, 1], len(train) // 2)
    return float(np.mean(machine.fit(train, domain).predict(test) != domain))
