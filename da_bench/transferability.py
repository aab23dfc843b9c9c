"""How far apart two domains are, or how well a source suits a target."""

import warnings

import numpy as np

from da_bench.types import Array

CS = np.logspace(-5, 4, 10)


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

    domain = np.repeat([0, 1], len(train) // 2)
    # dual=False: the primal problem by Newton's method, exact, and quick where rows outnumber features
    machine = LinearSVC(C=c, dual=False)
    with warnings.catch_warnings():  # a huge C on separable domains never converges, and need not: the error is known
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(train, domain)
    return float(np.mean(machine.predict(test) != domain))
