import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.spectrum import nuclear_norm, singular_values


def test_vmap_decomposes_one_matrix_after_another(rng):
    """A batched decomposition waits for threads that wait themselves: on two cores such runs hang."""
    matrices = jnp.asarray(rng.normal(size=(5, 4, 3)), jnp.float32)
    value_and_grad = jax.vmap(jax.value_and_grad(lambda x: singular_values(x).sum()))
    shapes = re.findall(
        r"(f32\[[\d,]+\]) \S*f32\[[\d,]+\] \S*f32\[[\d,]+\] = svd", str(jax.make_jaxpr(value_and_grad)(matrices))
    )
    assert shapes
    assert {shape.count(",") for shape in shapes} == {0}
    expected = [np.linalg.svd(matrix, compute_uv=False).sum() for matrix in matrices]
    np.testing.assert_allclose(value_and_grad(matrices)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 3), (2, 5), (1, 4)])
def test_nuclear_norm_equals_the_trace_of_the_root(shape, rng, x64):
    """From the square roots of the eigenvalues of x x', without singular values."""
    x = rng.normal(size=shape)
    roots = np.sqrt(np.maximum(np.linalg.eigvalsh(x @ x.T), 0))
    assert nuclear_norm(jnp.asarray(x)) == pytest.approx(roots.sum(), rel=1e-7)


def test_gradient_of_the_nuclear_norm_is_u_times_v(rng, x64):
    x = rng.normal(size=(5, 3))
    u, _, v = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(jax.grad(nuclear_norm)(jnp.asarray(x)), u @ v, atol=1e-12)


def test_the_nuclear_norm_of_equal_rows_has_the_least_subgradient():
    """Rank one: n rows r have the norm sqrt(n) |r|, and the gradient r / (sqrt(n) |r|) in each row."""
    row = np.array([3.0, 4.0])
    gradient = jax.grad(nuclear_norm)(jnp.asarray(np.tile(row, (4, 1)), jnp.float32))
    np.testing.assert_allclose(gradient, np.tile(row / 10, (4, 1)), atol=1e-6)
