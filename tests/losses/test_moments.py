import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.moments import covariance, covariance_gap
from da_bench.settings import UserError


@pytest.mark.parametrize("d", [5, 40])
def test_equals_numpy_covariances(d, rng, x64):
    source, target = rng.normal(size=(9, d)), 2 * rng.normal(size=(6, d))
    gap = np.sum((np.cov(source, rowvar=False) - np.cov(target, rowvar=False)) ** 2) / (4 * d**2)
    assert covariance_gap(jnp.asarray(source), jnp.asarray(target)) == pytest.approx(gap, rel=1e-12)


def test_gradient_is_that_of_the_covariances_where_rows_are_few(rng, x64):
    def plain(source, target):
        return jnp.sum((jnp.cov(source.T) - jnp.cov(target.T)) ** 2) / (4 * 40**2)

    samples = jnp.asarray(rng.normal(size=(9, 40))), jnp.asarray(2 * rng.normal(size=(6, 40)))
    for gap, expected in zip(*(jax.grad(fn, (0, 1))(*samples) for fn in (covariance_gap, plain)), strict=True):
        np.testing.assert_allclose(gap, expected, rtol=1e-9, atol=1e-12)


def test_by_hand(x64):
    """Source {(0,0), (2,0)}: variance 2 in x. Target {(0,0), (0,4)}: variance 8 in y. (2^2 + 8^2) / (4 * 2^2)."""
    source, target = jnp.asarray([[0.0, 0.0], [2.0, 0.0]]), jnp.asarray([[0.0, 0.0], [0.0, 4.0]])
    assert covariance_gap(source, target) == pytest.approx(68 / 16)


def test_does_not_see_means(rng, x64):
    x = jnp.asarray(rng.normal(size=(9, 5)))
    assert covariance_gap(x, x + 100.0) == pytest.approx(0.0, abs=1e-18)


def test_one_row_has_no_covariance():
    with pytest.raises(UserError, match="2 rows of each domain"):
        covariance(jnp.ones((1, 3)))


def test_covariance_of_a_rank_one_sample_stays_finite():
    assert np.isfinite(covariance(jnp.ones((2, 3)))).all()
