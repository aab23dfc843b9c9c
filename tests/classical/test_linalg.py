"""Leading eigenvectors, principal directions and matrix powers against NumPy."""

import numpy as np
import pytest

from da_bench.classical import _linalg


def test_lanczos_equals_the_full_decomposition(rng, monkeypatch):
    rows = rng.normal(size=(60, 40))
    matrix = rows.T @ rows
    direct = _linalg.leading_eigenvectors(matrix, 5)
    monkeypatch.setattr(_linalg, "DENSE_SIZE", 10)
    lanczos = _linalg.leading_eigenvectors(matrix, 5)
    np.testing.assert_allclose(lanczos[0], direct[0], rtol=1e-9)
    np.testing.assert_allclose(np.abs(lanczos[1].T @ direct[1]), np.eye(5), atol=1e-7)


def test_zero_eigenvalues_are_left_out(rng):
    values, vectors = _linalg.leading_eigenvectors(np.diag([3.0, 0.0, 1e-15, 2.0]), 4)
    np.testing.assert_allclose(values, [3.0, 2.0])
    np.testing.assert_allclose(np.abs(vectors), np.eye(4)[:, [0, 3]], atol=1e-12)
    assert _linalg.leading_eigenvectors(np.zeros((3, 3)), 2)[1].shape == (3, 0)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_principal_directions_are_the_right_singular_vectors(shape, rng):
    rows = rng.normal(size=shape) * np.linspace(1, 3, shape[1]) + 5
    directions = _linalg.principal_directions(rows, 4)
    right = np.linalg.svd(rows - rows.mean(axis=0))[2][:4].T
    np.testing.assert_allclose(directions @ directions.T, right @ right.T, atol=1e-9)
    np.testing.assert_allclose(directions.T @ directions, np.eye(4), atol=1e-9)


@pytest.mark.parametrize("power", [-0.5, 0.5, 2.0])
def test_a_power_and_its_inverse_cancel(power, rng):
    matrix = np.cov(rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)), rowvar=False) + np.eye(4)
    restored = _linalg.symmetric_power(_linalg.symmetric_power(matrix, power), 1 / power)
    np.testing.assert_allclose(restored, matrix, rtol=1e-9)
