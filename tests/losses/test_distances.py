import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.distances import norm


def test_norm_and_gradient_equal_numpy(rng, x64):
    x = rng.normal(size=(4, 3))
    np.testing.assert_allclose(norm(jnp.asarray(x)), np.linalg.norm(x, axis=1), rtol=1e-14)
    gradient = jax.grad(lambda x: norm(x).sum())(jnp.asarray(x))
    np.testing.assert_allclose(gradient, x / np.linalg.norm(x, axis=1)[:, None], rtol=1e-13)


def test_norm_at_zero_has_gradient_zero():
    value, gradient = jax.value_and_grad(lambda x: norm(x).sum())(jnp.zeros((2, 3)))
    assert value == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_beyond_single_precision(scale):
    x = jnp.asarray([3 * scale, 4 * scale], jnp.float32)
    assert norm(x) == pytest.approx(5 * scale, rel=1e-6)
    np.testing.assert_allclose(jax.grad(norm)(x), [0.6, 0.8], rtol=1e-6)
