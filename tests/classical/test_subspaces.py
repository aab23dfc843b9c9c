"""SA, GFK and PCA against projectors, a numerical integral over the geodesic, and scikit-learn."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from da_bench.classical import Gfk, NearestNeighbour, Pca, SubspaceAlignment
from da_bench.classical._preprocessing import TrainingRows
from da_bench.classical.subspaces import geodesic_flow_factor, principal_bases


def random_basis(rng, d, k):
    return np.linalg.qr(rng.normal(size=(d, k)))[0]


def projector(columns):
    return columns @ columns.T


def integrated_projector(start, end, nodes=20):
    """Gauss-Legendre integral of the projectors along the geodesic, P(t) = e^(tX) P_0 e^(-tX).

    X = log((1 - 2 P_1)(1 - 2 P_0)) / 2 generates the direct rotation from one subspace to the other.
    """
    p, q, identity = projector(start), projector(end), np.eye(len(start))
    generator = np.real(scipy.linalg.logm((identity - 2 * q) @ (identity - 2 * p))) / 2
    points, weights = np.polynomial.legendre.leggauss(nodes)
    rotations = [scipy.linalg.expm((x + 1) / 2 * generator) for x in points]
    return sum(w / 2 * rotation @ p @ rotation.T for w, rotation in zip(weights, rotations, strict=True))


@pytest.mark.parametrize(("d", "k"), [(5, 1), (7, 3), (9, 4), (6, 5)])
def test_flow_kernel_equals_the_integral_over_the_geodesic(d, k, rng):
    start, end = random_basis(rng, d, k), random_basis(rng, d, k)
    factor = geodesic_flow_factor(start, end)
    np.testing.assert_allclose(factor @ factor.T, integrated_projector(start, end), atol=1e-7)


def test_flow_kernel_between_equal_subspaces_is_the_projector(rng):
    start = random_basis(rng, 6, 2)
    rotated = start @ random_basis(rng, 2, 2)
    factor = geodesic_flow_factor(start, rotated)
    np.testing.assert_allclose(factor @ factor.T, projector(start), atol=1e-9)


def test_flow_kernel_of_orthogonal_lines_by_hand():
    """Phi(t) = (cos, sin)(t pi / 2): 1/2 on the diagonal; the integral of sin(pi t) / 2 is 1 / pi off it."""
    factor = geodesic_flow_factor(np.eye(3)[:, :1], np.eye(3)[:, 1:2])
    expected = np.array([[0.5, 1 / np.pi, 0], [1 / np.pi, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-12)


def test_flow_kernel_is_symmetric_in_its_ends(rng):
    start, end = random_basis(rng, 8, 3), random_basis(rng, 8, 3)
    forward, backward = geodesic_flow_factor(start, end), geodesic_flow_factor(end, start)
    np.testing.assert_allclose(forward @ forward.T, backward @ backward.T, atol=1e-9)


def centred_domains(rng, n=40, m=30, d=8):
    source, target = (rng.normal(size=(r, d)) @ np.diag(np.linspace(1, 3, d)) for r in (n, m))
    return TrainingRows(source - source.mean(axis=0), np.arange(n) % 2, target - target.mean(axis=0))


def test_subspace_alignment_has_the_papers_similarity(rng):
    """Sim(y_s, y_t) = y_s A y_t^T with A = P_s P_s^T P_t P_t^T."""
    rows = centred_domains(rng)
    alignment = SubspaceAlignment(dimensions=3).align(rows)
    source_basis, target_basis = (np.linalg.svd(x)[2][:3].T for x in (rows.source, rows.target))
    expected = rows.source @ projector(source_basis) @ projector(target_basis) @ rows.target.T
    np.testing.assert_allclose(alignment.source @ alignment.transform(rows.target).T, expected, atol=1e-8)


def test_subspace_alignment_is_the_least_squares_solution(rng):
    """M = P_s^T P_t minimises |P_s M - P_t|."""
    rows = centred_domains(rng)
    source_basis, target_basis = principal_bases(rows, 3)
    matrix, *_ = np.linalg.lstsq(source_basis, target_basis, rcond=None)
    alignment = SubspaceAlignment(dimensions=3).align(rows)
    np.testing.assert_allclose(alignment.source, rows.source @ source_basis @ matrix, atol=1e-9)


def test_gfk_applies_the_kernel_to_new_rows(rng):
    rows, new = centred_domains(rng), rng.normal(size=(5, 8))
    alignment = Gfk(dimensions=3).align(rows)
    source_basis, target_basis = (np.linalg.svd(x)[2][:3].T for x in (rows.source, rows.target))
    expected = rows.source @ integrated_projector(source_basis, target_basis) @ new.T
    np.testing.assert_allclose(alignment.source @ alignment.transform(new).T, expected, atol=1e-6)


def test_the_domain_of_lower_rank_limits_the_dimensions(rng):
    rows = centred_domains(rng, m=4)
    assert [basis.shape for basis in principal_bases(rows, 20)] == [(8, 3), (8, 3)]


@pytest.mark.parametrize("method", [SubspaceAlignment, Gfk])
def test_subspace_methods_ignore_noisy_dimensions_that_mislead_nearest_neighbours(method, rng):
    """The classes lie in two leading directions of each domain, 40 degrees apart; 300 other directions are noise."""
    labels = np.arange(120) % 3
    centres = 4 * np.array([[1, 0], [-0.5, 0.8], [-0.5, -0.8]])

    def domain(angle):
        directions = np.zeros((2, 302))
        directions[:, :2], directions[:, 2:4] = np.cos(angle) * np.eye(2), np.sin(angle) * np.eye(2)
        signal = centres[labels] + 0.5 * rng.normal(size=(120, 2))
        return 1.5 * signal @ directions + rng.normal(size=(120, 302))

    source, target = domain(0.0), domain(np.deg2rad(40))
    adapted = method(dimensions=2, scaling="none").fit(source, labels, target).predict(target)
    unadapted = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (adapted == labels).mean() > 0.9
    assert (unadapted == labels).mean() < 0.7


def test_pca_equals_scikit_learn_on_the_pooled_rows(rng):
    source, target = rng.normal(size=(40, 8)), rng.normal(size=(30, 8)) @ np.diag(np.linspace(1, 3, 8))
    labels = np.arange(40) % 4
    pooled = PCA(3).fit(np.concatenate([source, target]))
    expected = KNeighborsClassifier(1).fit(pooled.transform(source), labels).predict(pooled.transform(target))
    fitted = Pca(dimensions=3, scaling="none").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), expected)
