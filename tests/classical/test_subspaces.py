"""SA and GFK against projectors, and the geodesic integrated by another route."""

import numpy as np
import pytest
import scipy.linalg
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from da_bench.classical.common import Domains
from da_bench.classical.knn import NearestNeighbour
from da_bench.classical.subspaces import Gfk, Pca, SubspaceAlignment, bases, flow_factor


def basis(rng, d, k):
    return np.linalg.qr(rng.normal(size=(d, k)))[0]


def projector(columns):
    return columns @ columns.T


def integrated(start, end, nodes=20):
    """The integral of the projectors along the geodesic, P(t) = e^(tX) P_0 e^(-tX), by Gauss and Legendre.

    X = log((1 - 2 P_1)(1 - 2 P_0)) / 2, the generator of the rotation that takes one subspace to the other directly.
    """
    p, q, one = projector(start), projector(end), np.eye(len(start))
    generator = np.real(scipy.linalg.logm((one - 2 * q) @ (one - 2 * p))) / 2
    points, weights = np.polynomial.legendre.leggauss(nodes)
    turns = [scipy.linalg.expm((x + 1) / 2 * generator) for x in points]
    return sum(w / 2 * turn @ p @ turn.T for w, turn in zip(weights, turns, strict=True))


@pytest.mark.parametrize(("d", "k"), [(5, 1), (7, 3), (9, 4), (6, 5)])
def test_the_flow_kernel_is_the_integral_over_the_geodesic(d, k, rng):
    start, end = basis(rng, d, k), basis(rng, d, k)
    factor = flow_factor(start, end)
    np.testing.assert_allclose(factor @ factor.T, integrated(start, end), atol=1e-7)


def test_between_a_subspace_and_itself_it_is_the_projector(rng):
    start = basis(rng, 6, 2)
    turned = start @ basis(rng, 2, 2)
    factor = flow_factor(start, turned)
    np.testing.assert_allclose(factor @ factor.T, projector(start), atol=1e-9)


def test_of_two_lines_at_a_right_angle_it_is_known_by_hand():
    """Phi(t) = (cos, sin)(t pi / 2): 1/2 on the diagonal, the integral of sin(pi t) / 2 = 1 / pi beside it."""
    factor = flow_factor(np.eye(3)[:, :1], np.eye(3)[:, 1:2])
    expected = np.array([[0.5, 1 / np.pi, 0], [1 / np.pi, 0.5, 0], [0, 0, 0]])
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-12)


def test_it_is_the_same_from_either_end(rng):
    start, end = basis(rng, 8, 3), basis(rng, 8, 3)
    there, back = flow_factor(start, end), flow_factor(end, start)
    np.testing.assert_allclose(there @ there.T, back @ back.T, atol=1e-9)


def centred_domains(rng, n=40, m=30, d=8):
    source, target = (rng.normal(size=(r, d)) @ np.diag(np.linspace(1, 3, d)) for r in (n, m))
    return Domains(source - source.mean(axis=0), np.arange(n) % 2, target - target.mean(axis=0))


def test_subspace_alignment_compares_rows_as_the_paper_does(rng):
    """Sim(y_s, y_t) = y_s A y_t^T with A = P_s P_s^T P_t P_t^T."""
    rows = centred_domains(rng)
    embedded, embed = SubspaceAlignment(dimensions=3).embed(rows)
    of_source, of_target = (np.linalg.svd(x)[2][:3].T for x in (rows.source, rows.target))
    expected = rows.source @ projector(of_source) @ projector(of_target) @ rows.target.T
    np.testing.assert_allclose(embedded @ embed(rows.target).T, expected, atol=1e-8)


def test_the_alignment_is_the_nearest_to_the_target(rng):
    """M = P_s^T P_t minimises |P_s M - P_t|: no step away from it is better."""
    rows = centred_domains(rng)
    of_source, of_target = bases(rows, 3)
    matrix, *_ = np.linalg.lstsq(of_source, of_target, rcond=None)
    embedded, _ = SubspaceAlignment(dimensions=3).embed(rows)
    np.testing.assert_allclose(embedded, rows.source @ of_source @ matrix, atol=1e-9)


def test_gfk_measures_new_rows_by_the_kernel(rng):
    rows, new = centred_domains(rng), rng.normal(size=(5, 8))
    embedded, embed = Gfk(dimensions=3).embed(rows)
    of_source, of_target = (np.linalg.svd(x)[2][:3].T for x in (rows.source, rows.target))
    expected = rows.source @ integrated(of_source, of_target) @ new.T
    np.testing.assert_allclose(embedded @ embed(new).T, expected, atol=1e-6)


def test_the_narrower_domain_decides_how_many_dimensions(rng):
    rows = centred_domains(rng, m=4)
    assert [part.shape for part in bases(rows, 20)] == [(8, 3), (8, 3)]


@pytest.mark.parametrize("method", [SubspaceAlignment, Gfk])
def test_in_many_noisy_dimensions_it_sees_the_subspaces_and_neighbours_do_not(method, rng):
    """Classes lie in the two leading directions of each domain, 40 degrees apart, and 300 others are noise."""
    labels = np.arange(120) % 3
    centres = 4 * np.array([[1, 0], [-0.5, 0.8], [-0.5, -0.8]])

    def domain(turn):
        directions = np.zeros((2, 302))
        directions[:, :2], directions[:, 2:4] = np.cos(turn) * np.eye(2), np.sin(turn) * np.eye(2)
        signal = centres[labels] + 0.5 * rng.normal(size=(120, 2))
        return 1.5 * signal @ directions + rng.normal(size=(120, 302))

    source, target = domain(0.0), domain(np.deg2rad(40))
    adapted = method(dimensions=2, scaling="none").fit(source, labels, target).predict(target)
    plain = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (adapted == labels).mean() > 0.9
    assert (plain == labels).mean() < 0.7


def test_pca_is_scikit_learns_on_both_domains_together(rng):
    source, target = rng.normal(size=(40, 8)), rng.normal(size=(30, 8)) @ np.diag(np.linspace(1, 3, 8))
    labels = np.arange(40) % 4
    pooled = PCA(3).fit(np.concatenate([source, target]))
    expected = KNeighborsClassifier(1).fit(pooled.transform(source), labels).predict(pooled.transform(target))
    fitted = Pca(dimensions=3, scaling="none").fit(source, labels, target)
    np.testing.assert_array_equal(fitted.predict(target), expected)
