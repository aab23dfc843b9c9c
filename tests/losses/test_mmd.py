"""MMD compared with loops in float64 numpy, and properties of its estimators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.losses.distances import squared_distances
from da_bench.losses.mmd import lower_median, mmd, multi_gaussian_kernel

FACTORS = (0.25, 1.0, 4.0)


def kernel(x, y, bandwidth):
    return np.mean([np.exp(-np.sum((x - y) ** 2) / (factor * bandwidth)) for factor in FACTORS])


def reference(source, target, bandwidth, estimator):
    """Sums over pairs, as in the papers."""
    n, m = len(source), len(target)
    if estimator == "linear":
        pairs = range(0, n - 1, 2)
        terms = [
            kernel(source[i], source[i + 1], bandwidth)
            + kernel(target[i], target[i + 1], bandwidth)
            - kernel(source[i], target[i + 1], bandwidth)
            - kernel(source[i + 1], target[i], bandwidth)
            for i in pairs
        ]
        return np.mean(terms)
    if estimator == "cyclic":
        next_rows = [*range(1, n), 0]
        terms = [
            kernel(source[i], source[j], bandwidth)
            + kernel(target[i], target[j], bandwidth)
            - kernel(source[i], target[j], bandwidth)
            - kernel(source[j], target[i], bandwidth)
            for i, j in enumerate(next_rows)
        ]
        return np.mean(terms)
    same = estimator == "biased"
    ss = [kernel(source[i], source[j], bandwidth) for i in range(n) for j in range(n) if same or i != j]
    tt = [kernel(target[i], target[j], bandwidth) for i in range(m) for j in range(m) if same or i != j]
    st = [kernel(a, b, bandwidth) for a in source for b in target]
    return np.mean(ss) + np.mean(tt) - 2 * np.mean(st)


def estimate(source, target, bandwidth, estimator):
    pooled = jnp.concatenate([jnp.asarray(source), jnp.asarray(target)])
    matrix = multi_gaussian_kernel(squared_distances(pooled, pooled), jnp.asarray(bandwidth, pooled.dtype), FACTORS)
    return mmd(matrix, len(source), estimator)


@pytest.mark.parametrize("estimator", ["unbiased", "biased", "linear", "cyclic"])
@pytest.mark.parametrize("sizes", [(2, 2), (7, 7), (8, 8)])
def test_equals_sums_over_pairs(estimator, sizes, rng, x64):
    source, target = (rng.normal(size=(size, 3)) for size in sizes)
    actual = estimate(source, target, 1.7, estimator)
    assert actual == pytest.approx(reference(source, target, 1.7, estimator), abs=1e-12)


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_domains_of_different_size(estimator, rng, x64):
    source, target = rng.normal(size=(5, 3)), rng.normal(size=(9, 3))
    actual = estimate(source, target, 1.7, estimator)
    assert actual == pytest.approx(reference(source, target, 1.7, estimator), abs=1e-12)


def test_by_hand(x64):
    """One dimension, source {0, 1}, target {0, 2}, kernel exp(-d^2): every entry is e^0, e^-1 or e^-4."""
    pooled = jnp.asarray([[0.0], [1.0], [0.0], [2.0]])
    matrix = multi_gaussian_kernel(squared_distances(pooled, pooled), jnp.asarray(1.0), (1.0,))
    e1, e4 = np.exp(-1), np.exp(-4)
    assert mmd(matrix, 2, "unbiased") == pytest.approx(e1 + e4 - (1 + e4 + e1 + e1) / 2)
    assert mmd(matrix, 2, "biased") == pytest.approx((1 + e1) / 2 + (1 + e4) / 2 - (1 + e4 + e1 + e1) / 2)
    assert mmd(matrix, 2, "linear") == pytest.approx(e1 + e4 - e4 - e1)


def test_biased_estimate_is_zero_for_equal_samples_and_never_negative(rng, x64):
    x = rng.normal(size=(10, 4))
    assert estimate(x, x, 1.0, "biased") == pytest.approx(0.0, abs=1e-12)
    for _ in range(20):
        assert estimate(rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), 1.0, "biased") > -1e-12


@pytest.mark.parametrize("estimator", ["unbiased", "linear", "cyclic"])
def test_unbiased_estimators_average_to_zero_for_equal_distributions(estimator, rng):
    samples = jnp.asarray(rng.normal(size=(4000, 2, 8, 2)), jnp.float32)
    actual = jax.vmap(lambda pair: estimate(pair[0], pair[1], 1.0, estimator))(samples)
    error = actual.std() / np.sqrt(len(actual))
    assert abs(actual.mean()) < 4 * error
    biased = jax.vmap(lambda pair: estimate(pair[0], pair[1], 1.0, "biased"))(samples)
    assert biased.mean() > 10 * error  # the test detects an estimator that is biased


@pytest.mark.parametrize("n", [1, 2, 3, 8, 101, 8128])
def test_lower_median_is_the_sorted_middle(n, rng):
    x = np.abs(rng.normal(size=n)).astype(np.float32)
    x[: n // 3] = 0.0
    assert lower_median(jnp.asarray(x)) == np.sort(x)[(n - 1) // 2]


@pytest.mark.parametrize(
    ("sizes", "estimator"), [((1, 4), "unbiased"), ((4, 1), "linear"), ((4, 5), "linear"), ((4, 5), "cyclic")]
)
def test_too_few_rows_are_refused(sizes, estimator, rng):
    with pytest.raises(UserError, match=estimator):
        estimate(*(rng.normal(size=(size, 2)) for size in sizes), 1.0, estimator)


@pytest.mark.parametrize(
    "factors", [(0.25, 0.5, 1.0, 2.0, 4.0), (1.0, 3.0), tuple(2.0 ** (p / 2) for p in range(-16, 17))]
)
def test_multi_gaussian_kernel_is_the_mean_of_exponentials(factors, rng, x64):
    def plain(distances):
        return jnp.stack([jnp.exp(-distances / (2.5 * factor)) for factor in factors]).mean(axis=0)

    distances = jnp.asarray(10 * rng.random((7, 7)))
    np.testing.assert_allclose(
        multi_gaussian_kernel(distances, jnp.asarray(2.5), factors), plain(distances), rtol=1e-12
    )
    actual, expected = (
        jax.grad(lambda x, fn=fn: fn(x).sum())(distances)
        for fn in (lambda x: multi_gaussian_kernel(x, jnp.asarray(2.5), factors), plain)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
