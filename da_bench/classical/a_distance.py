"""Proxy A-distance: how well a linear classifier tells two domains apart."""

import warnings

import numpy as np

from da_bench.core.types import Array

C_GRID = np.logspace(-5, 4, 10)


def proxy_a_distance(source: Array, target: Array, max_rows: int = 500, seed: int = 0) -> float:
    """Proxy A-distance 2 (1 - 2 error) of a linear SVM that separates source from target.

    The SVM is trained on half of the rows of each domain and tested on the other half. The reported error is the
    smallest test error over C in {1e-5, ..., 1e4}; an error above 1/2 counts as 1 - error. Features are first scaled to
    unit variance, which the paper's bags of words did not need.

    Args:
        source: features of the source [n, d].
        target: features of the target [m, d].
        max_rows: upper bound on the rows drawn from each domain; equally many are drawn from both.
        seed: seed of the random draw of rows.

    Returns:
        A number in [0, 2]: 0 if the domains look alike, 2 if they are separable, NaN if a feature is not finite.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016, Section 5.1.5.
    """
    train, test = _balanced_halves(np.asarray(source, np.float64), np.asarray(target, np.float64), max_rows, seed)
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        return float("nan")
    errors = [_test_error(train, test, c) for c in C_GRID]
    return 2 * (1 - 2 * min(min(error, 1 - error) for error in errors))


def _balanced_halves(source: np.ndarray, target: np.ndarray, max_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised (train, test) rows; each holds its source rows first, then equally many target rows."""
    generator = np.random.default_rng(seed)
    half = min(len(source), len(target), max_rows) // 2
    source, target = (rows[generator.permutation(len(rows))[: 2 * half]] for rows in (source, target))
    pooled = np.concatenate([source, target])
    mean, scale = pooled.mean(axis=0), pooled.std(axis=0)
    source, target = ((rows - mean) / np.where(scale > 0, scale, 1.0) for rows in (source, target))
    return np.concatenate([source[:half], target[:half]]), np.concatenate([source[half:], target[half:]])


def _test_error(train: np.ndarray, test: np.ndarray, c: float) -> float:
    """Test error of a linear SVM; both arrays hold equally many source rows and target rows, in this order."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    domain = np.repeat([0, 1], len(train) // 2)
    # dual=False solves the primal problem by Newton's method: exact, and fast where rows outnumber features
    classifier = LinearSVC(C=c, dual=False)
    with warnings.catch_warnings():  # with a huge C on separable domains it never converges, but the error is known
        warnings.simplefilter("ignore", ConvergenceWarning)
        return float(np.mean(classifier.fit(train, domain).predict(test) != domain))
