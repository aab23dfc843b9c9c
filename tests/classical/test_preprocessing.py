"""Scaling of rows, and the projection on the span of the training rows."""

import numpy as np

from da_bench.classical._preprocessing import fit_span_projection, normalise_rows


def test_span_projection_preserves_inner_products(rng):
    source, target, new = rng.normal(size=(5, 30)), rng.normal(size=(4, 30)), rng.normal(size=(3, 30))
    project = fit_span_projection(source, target)
    assert project(new).shape == (3, 9)
    for rows in (source, target):
        np.testing.assert_allclose(project(new) @ project(rows).T, new @ rows.T, atol=1e-12)


def test_rows_are_divided_by_their_norm_and_zeros_are_unchanged():
    rows = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalise_rows(rows, "l1"), [[3 / 7, -4 / 7], [0, 0]])
    np.testing.assert_allclose(normalise_rows(rows, "l2"), [[0.6, -0.8], [0, 0]])
