"""TCA, JDA and BDA against the explicit kernel problem of their papers, solved by SciPy's generalised eigenvalues."""

import numpy as np
import pytest
import scipy.linalg

from da_bench.classical.common import Domains, median_distance
from da_bench.classical.components import (
    Bda,
    Jda,
    Space,
    Tca,
    class_contrasts,
    components,
    estimated_balance,
    feature_map,
    marginal_contrast,
)
from da_bench.classical.knn import NearestNeighbour

PLAIN = {"scaling": "none", "unit_rows": False, "directions": "whitened"}


def domains(rng, n=14, m=11, d=4):
    return Domains(rng.normal(size=(n, d)), np.arange(n) % 3, 1.5 * rng.normal(size=(m, d)) + 0.7)


def explicit(kernel, differences, penalty, k):
    """Pan et al.: the k leading eigenvectors of (K L K + mu I)^(-1) K H K, scaled to W^T K H K W = I; embedded rows."""
    size = len(kernel)
    centring = np.eye(size) - 1 / size
    _, vectors = scipy.linalg.eigh(kernel @ centring @ kernel, kernel @ differences @ kernel + penalty * np.eye(size))
    weights = vectors[:, ::-1][:, :k]
    return kernel @ weights / np.sqrt(np.diag(weights.T @ kernel @ centring @ kernel @ weights))


def gram(embedded):
    """What is the same whatever the signs of the directions."""
    return embedded @ embedded.T


def kernel_of(kind, pooled):
    if kind == "linear":
        return pooled @ pooled.T
    apart = ((pooled[:, None] - pooled) ** 2).sum(axis=2)
    return np.exp(-apart / (2 * median_distance(pooled) ** 2))


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_tca_is_the_papers_eigenproblem(kind, rng):
    rows = domains(rng)
    pooled = np.concatenate([rows.source, rows.target])
    difference = np.concatenate([np.full(14, 1 / 14), np.full(11, -1 / 11)])
    laplacian = np.outer(difference, difference)
    kernel = kernel_of(kind, pooled)
    expected = explicit(kernel, laplacian, 0.3 * np.linalg.norm(laplacian), 3)
    method = Tca(kernel=kind, dimensions=3, penalty=0.3, **PLAIN)
    embedded, embed = method.embed(rows)
    both = np.concatenate([embedded, embed(rows.target)])
    np.testing.assert_allclose(gram(both), gram(expected), rtol=1e-6, atol=1e-8)


def test_new_rows_are_embedded_by_their_kernel_values(rng):
    """phi of a row of its own is k(row, training rows): twice the same row, twice the same place."""
    rows = domains(rng)
    pooled = np.concatenate([rows.source, rows.target])
    phi = feature_map("rbf", pooled, 1.0)
    np.testing.assert_allclose(phi(pooled), kernel_of("rbf", pooled), atol=1e-12)
    for kind in ("primal", "linear", "rbf"):
        embedded, embed = Tca(kernel=kind, dimensions=3).embed(rows)
        np.testing.assert_allclose(embed(rows.source[3:5]), embedded[3:5], atol=1e-10)


def test_linear_coordinates_give_the_kernels_penalty(rng):
    """phi(x) = x V S: weights on it are as long as those on the kernel's values, W = U a."""
    rows = rng.normal(size=(9, 4))
    phi = feature_map("linear", rows, 1.0)(rows)
    np.testing.assert_allclose(phi @ phi.T, (rows @ rows.T) @ (rows @ rows.T), atol=1e-9)


def test_the_solution_meets_its_constraint_and_no_other_is_better(rng):
    features, gaps = rng.normal(size=(20, 6)), rng.normal(size=(6, 3))
    centred = features - features.mean(axis=0)
    scatter = centred.T @ centred
    weights = components(scatter, gaps, 0.5, 2)
    np.testing.assert_allclose(weights.T @ scatter @ weights, np.eye(2), atol=1e-9)
    cost = gaps @ gaps.T + 0.5 * np.eye(6)
    least = np.trace(weights.T @ cost @ weights)
    np.testing.assert_allclose(least, scipy.linalg.eigh(cost, scatter)[0][:2].sum(), rtol=1e-9)


def test_class_contrasts_by_hand():
    found = class_contrasts(np.array([0, 0, 1, 2]), np.array([1, 0, 1]))  # class 2 is guessed nowhere
    expected = [[0.5, 0], [0.5, 0], [0, 1], [0, 0], [0, -0.5], [-1, 0], [0, -0.5]]
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(marginal_contrast(2, 4)[:, 0], [0.5, 0.5, -0.25, -0.25, -0.25, -0.25])


def test_jda_of_one_iteration_is_tca(rng):
    rows = domains(rng)
    np.testing.assert_array_equal(Jda(iterations=1).embed(rows)[0], Tca().embed(rows)[0])


def test_jda_of_two_iterations_is_the_papers_second_problem(rng):
    """M_0 + sum M_c of the labels that TCA guesses, in primal form: (X M X^T + lambda I) A = X H X^T A Phi."""
    rows = domains(rng)
    first, embed = Tca(dimensions=2, **PLAIN).embed(rows)
    apart = ((embed(rows.target)[:, None] - first) ** 2).sum(axis=2)
    guessed = rows.labels[apart.argmin(axis=1)]
    matrix = np.zeros((25, 25))
    for c in [None, *range(3)]:
        e = np.zeros(25)
        of_source = np.ones(14, bool) if c is None else rows.labels == c
        of_target = np.ones(11, bool) if c is None else guessed == c
        if of_target.any():
            e[:14][of_source], e[14:][of_target] = 1 / of_source.sum(), -1 / of_target.sum()
            matrix += np.outer(e, e)
    pooled = np.concatenate([rows.source, rows.target])
    centring = np.eye(25) - 1 / 25
    cost = pooled.T @ (matrix / np.linalg.norm(matrix)) @ pooled + np.eye(4)
    _, vectors = scipy.linalg.eigh(cost, pooled.T @ centring @ pooled)  # rising, and whitened
    found, _ = Jda(dimensions=2, iterations=2, **PLAIN).embed(rows)
    np.testing.assert_allclose(gram(found), gram(rows.source @ vectors[:, :2]), atol=1e-8)


def test_bda_of_balance_zero_knows_no_classes_and_of_one_half_is_jdas_problem(rng):
    rows = domains(rng)
    np.testing.assert_allclose(gram(Bda(balance=0.0).embed(rows)[0]), gram(Tca().embed(rows)[0]), atol=1e-9)
    guess = np.arange(11) % 3
    method, whole, classes = Jda(), marginal_contrast(14, 11), class_contrasts(rows.labels, guess)
    pooled = np.concatenate([rows.source, rows.target])
    space = Space(pooled, (pooled - pooled.mean(axis=0)).T @ (pooled - pooled.mean(axis=0)))
    even, halved = (method.solve(space, s * np.concatenate([whole, classes], axis=1)) for s in (1.0, np.sqrt(0.5)))
    np.testing.assert_allclose(gram(even), gram(halved), atol=1e-9)


def test_the_balance_is_estimated_from_where_the_domains_differ(rng):
    """Shifted as a whole, all distances are 2; the classes swapped, the domains as wholes are alike."""
    labels = np.arange(200) % 2
    place = np.where(labels, 4.0, -4.0)[:, None]
    source, target = (place + rng.normal(size=(200, 1)) for _ in range(2))
    assert estimated_balance(Domains(source, labels, target + 100), labels) == pytest.approx(0.5)
    assert estimated_balance(Domains(source, labels, target), 1 - labels) > 0.8
    same = Domains(source[:1], labels[:1], target[:1])
    assert estimated_balance(same, labels[:1]) == 0.5


@pytest.mark.parametrize("method", [Tca, Jda, Bda])
def test_it_removes_an_offset_that_hides_the_classes_from_neighbours(method, rng):
    """Along the second input the target lies far off: the nearest source rows are the outermost, of any class."""
    labels = np.arange(200) % 2
    place = np.stack([np.where(labels, 2.5, -2.5), np.zeros(200)], axis=1)
    source, target = (place + rng.normal(size=(200, 2)) for _ in range(2))
    target[:, 1] += 30
    adapted = method(dimensions=1, scaling="none", unit_rows=False).fit(source, labels, target).predict(target)
    plain = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (adapted == labels).mean() > 0.95
    assert (plain == labels).mean() < 0.75
