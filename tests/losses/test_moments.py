import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.config import UserError
from da_bench.losses.moments import (
    central_moment_gap,
    covariance,
    covariance_gap,
    mean_gap,
    sampled_moment_gap,
    tensor_moment_gap,
)


@pytest.mark.parametrize("d", [5, 40])
def test_covariance_gap_equals_numpy(d, rng, x64):
    source, target = rng.normal(size=(9, d)), 2 * rng.normal(size=(6, d))
    gap = np.sum((np.cov(source, rowvar=False) - np.cov(target, rowvar=False)) ** 2) / (4 * d**2)
    assert covariance_gap(jnp.asarray(source), jnp.asarray(target)) == pytest.approx(gap, rel=1e-12)


def test_gradient_with_few_rows_equals_that_of_the_covariances(rng, x64):
    def plain(source, target):
        return jnp.sum((jnp.cov(source.T) - jnp.cov(target.T)) ** 2) / (4 * 40**2)

    samples = jnp.asarray(rng.normal(size=(9, 40))), jnp.asarray(2 * rng.normal(size=(6, 40)))
    for gap, expected in zip(*(jax.grad(fn, (0, 1))(*samples) for fn in (covariance_gap, plain)), strict=True):
        np.testing.assert_allclose(gap, expected, rtol=1e-9, atol=1e-12)


def test_covariance_gap_by_hand(x64):
    """Source {(0,0), (2,0)}: variance 2 in x. Target {(0,0), (0,4)}: variance 8 in y. (2^2 + 8^2) / (4 * 2^2)."""
    source, target = jnp.asarray([[0.0, 0.0], [2.0, 0.0]]), jnp.asarray([[0.0, 0.0], [0.0, 4.0]])
    assert covariance_gap(source, target) == pytest.approx(68 / 16)


def test_covariance_gap_ignores_means(rng, x64):
    x = jnp.asarray(rng.normal(size=(9, 5)))
    assert covariance_gap(x, x + 100.0) == pytest.approx(0.0, abs=1e-18)


def test_covariance_of_one_row_is_refused():
    with pytest.raises(UserError, match="2 rows of each domain"):
        covariance(jnp.ones((1, 3)))


def test_covariance_of_a_rank_one_sample_is_finite():
    assert np.isfinite(covariance(jnp.ones((2, 3)))).all()


def test_mean_gap_by_hand(x64):
    """Means (1, 0) and (4, 4): 3^2 + 4^2."""
    source, target = jnp.asarray([[0.0, 0.0], [2.0, 0.0]]), jnp.asarray([[4.0, 4.0]])
    assert mean_gap(source, target) == 25


def cmd_by_loops(source, target, moments, interval):
    total = np.linalg.norm(source.mean(axis=0) - target.mean(axis=0)) / interval
    for k in range(2, moments + 1):
        moments_of_both = []
        for x in (source, target):
            moments_of_both.append([np.mean([(row[j] - x[:, j].mean()) ** k for row in x]) for j in range(x.shape[1])])
        total += np.linalg.norm(np.subtract(*moments_of_both)) / interval**k
    return total


@pytest.mark.parametrize(("moments", "interval"), [(1, 1.0), (3, 2.0), (5, 0.7)])
def test_central_moment_discrepancy_by_its_definition(moments, interval, rng, x64):
    source, target = rng.uniform(size=(7, 3)), rng.uniform(size=(4, 3)) ** 2
    actual = central_moment_gap(jnp.asarray(source), jnp.asarray(target), moments, interval)
    assert actual == pytest.approx(cmd_by_loops(source, target, moments, interval), rel=1e-12)


def test_central_moments_of_equal_samples_have_a_finite_gradient():
    x = jnp.ones((3, 2))
    value, gradient = jax.value_and_grad(lambda s: central_moment_gap(s, x, 5, 1.0))(x)
    assert value == 0
    assert jnp.isfinite(gradient).all()


def moment_tensor(x, order):
    """Mean over rows of the outer products, by entry."""
    d = x.shape[1]
    return {i: np.mean([np.prod([row[j] for j in i]) for row in x]) for i in itertools.product(range(d), repeat=order)}


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_tensor_moment_gap_equals_the_sum_over_all_entries(order, rng, x64):
    source, target = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)) + 0.3
    source_moments, target_moments = moment_tensor(source, order), moment_tensor(target, order)
    expected = sum((source_moments[i] - target_moments[i]) ** 2 for i in source_moments) / 3**order
    assert tensor_moment_gap(jnp.asarray(source), jnp.asarray(target), order) == pytest.approx(expected, rel=1e-10)


def test_sampling_every_entry_gives_the_full_gap(rng, x64):
    source, target = (jnp.asarray(rng.normal(size=(n, 3))) for n in (6, 4))
    entries = jnp.asarray(list(itertools.product(range(3), repeat=3)))
    actual = sampled_moment_gap(source, target, entries)
    assert actual == pytest.approx(float(tensor_moment_gap(source, target, 3)), rel=1e-10)
