"""TCA, JDA and BDA against the kernel problems of their papers, solved as generalised eigenproblems by SciPy."""

import numpy as np
import pytest
import scipy.linalg

from da_bench.classical import Bda, Jda, NearestNeighbour, Tca
from da_bench.classical._linalg import median_distance
from da_bench.classical._preprocessing import TrainingRows
from da_bench.classical.components import (
    KernelFeatures,
    class_contrasts,
    domain_contrast,
    estimate_balance,
    fit_feature_map,
    solve_components,
)

AS_IN_THE_PAPER = {"scaling": "none", "unit_rows": False, "directions": "whitened"}


def random_rows(rng, n=14, m=11, d=4):
    return TrainingRows(rng.normal(size=(n, d)), np.arange(n) % 3, 1.5 * rng.normal(size=(m, d)) + 0.7)


def papers_embedding(kernel, differences, penalty, k):
    """Embedded rows by the k leading eigenvectors of (K L K + mu I)^(-1) K H K, scaled to W^T K H K W = I."""
    size = len(kernel)
    centring = np.eye(size) - 1 / size
    _, vectors = scipy.linalg.eigh(kernel @ centring @ kernel, kernel @ differences @ kernel + penalty * np.eye(size))
    weights = vectors[:, ::-1][:, :k]
    return kernel @ weights / np.sqrt(np.diag(weights.T @ kernel @ centring @ kernel @ weights))


def gram(rows):
    """Gram matrix, which does not depend on the signs of the components."""
    return rows @ rows.T


def kernel_matrix(kind, pooled):
    if kind == "linear":
        return pooled @ pooled.T
    distances = ((pooled[:, None] - pooled) ** 2).sum(axis=2)
    return np.exp(-distances / (2 * median_distance(pooled) ** 2))


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_tca_solves_the_papers_eigenproblem(kind, rng):
    rows = random_rows(rng)
    pooled = np.concatenate([rows.source, rows.target])
    difference = np.concatenate([np.full(14, 1 / 14), np.full(11, -1 / 11)])
    laplacian = np.outer(difference, difference)
    kernel = kernel_matrix(kind, pooled)
    expected = papers_embedding(kernel, laplacian, 0.3 * np.linalg.norm(laplacian), 3)
    alignment = Tca(kernel=kind, dimensions=3, penalty=0.3, **AS_IN_THE_PAPER).align(rows)
    embedded = np.concatenate([alignment.source, alignment.transform(rows.target)])
    np.testing.assert_allclose(gram(embedded), gram(expected), rtol=1e-6, atol=1e-8)


def test_training_rows_and_equal_new_rows_are_mapped_alike(rng):
    rows = random_rows(rng)
    pooled = np.concatenate([rows.source, rows.target])
    phi = fit_feature_map("rbf", pooled, 1.0)
    np.testing.assert_allclose(phi(pooled), kernel_matrix("rbf", pooled), atol=1e-12)
    for kind in ("primal", "linear", "rbf"):
        alignment = Tca(kernel=kind, dimensions=3).align(rows)
        np.testing.assert_allclose(alignment.transform(rows.source[3:5]), alignment.source[3:5], atol=1e-10)


def test_linear_features_give_the_penalty_of_the_kernel(rng):
    """With phi(x) = x V S, weights have the same norm as the weights W = U a on kernel values."""
    rows = rng.normal(size=(9, 4))
    phi = fit_feature_map("linear", rows, 1.0)(rows)
    np.testing.assert_allclose(phi @ phi.T, (rows @ rows.T) @ (rows @ rows.T), atol=1e-9)


def test_components_are_feasible_and_optimal(rng):
    features, gaps = rng.normal(size=(20, 6)), rng.normal(size=(6, 3))
    centred = features - features.mean(axis=0)
    scatter = centred.T @ centred
    weights = solve_components(scatter, gaps, 0.5, 2)
    np.testing.assert_allclose(weights.T @ scatter @ weights, np.eye(2), atol=1e-9)
    cost = gaps @ gaps.T + 0.5 * np.eye(6)
    objective = np.trace(weights.T @ cost @ weights)
    np.testing.assert_allclose(objective, scipy.linalg.eigh(cost, scatter)[0][:2].sum(), rtol=1e-9)


def test_class_contrasts_by_hand():
    contrasts = class_contrasts(np.array([0, 0, 1, 2]), np.array([1, 0, 1]))  # class 2 is predicted nowhere
    expected = [[0.5, 0], [0.5, 0], [0, 1], [0, 0], [0, -0.5], [-1, 0], [0, -0.5]]
    np.testing.assert_allclose(contrasts, expected)
    np.testing.assert_allclose(domain_contrast(2, 4)[:, 0], [0.5, 0.5, -0.25, -0.25, -0.25, -0.25])


def test_jda_with_one_iteration_equals_tca(rng):
    rows = random_rows(rng)
    np.testing.assert_array_equal(Jda(iterations=1).align(rows).source, Tca().align(rows).source)


def test_jda_with_two_iterations_solves_the_papers_second_problem(rng):
    """M_0 + sum M_c for TCA's pseudo-labels, in primal form: (X M X^T + lambda I) A = X H X^T A Phi."""
    rows = random_rows(rng)
    tca = Tca(dimensions=2, **AS_IN_THE_PAPER).align(rows)
    distances = ((tca.transform(rows.target)[:, None] - tca.source) ** 2).sum(axis=2)
    pseudo_labels = rows.labels[distances.argmin(axis=1)]
    matrix = np.zeros((25, 25))
    for c in [None, *range(3)]:
        e = np.zeros(25)
        in_source = np.ones(14, bool) if c is None else rows.labels == c
        in_target = np.ones(11, bool) if c is None else pseudo_labels == c
        if in_target.any():
            e[:14][in_source], e[14:][in_target] = 1 / in_source.sum(), -1 / in_target.sum()
            matrix += np.outer(e, e)
    pooled = np.concatenate([rows.source, rows.target])
    centring = np.eye(25) - 1 / 25
    cost = pooled.T @ (matrix / np.linalg.norm(matrix)) @ pooled + np.eye(4)
    _, vectors = scipy.linalg.eigh(cost, pooled.T @ centring @ pooled)  # ascending, and whitened
    jda = Jda(dimensions=2, iterations=2, **AS_IN_THE_PAPER).align(rows)
    np.testing.assert_allclose(gram(jda.source), gram(rows.source @ vectors[:, :2]), atol=1e-8)


def test_bda_with_balance_zero_equals_tca_and_with_one_half_has_the_solution_of_jda(rng):
    rows = random_rows(rng)
    np.testing.assert_allclose(gram(Bda(balance=0.0).align(rows).source), gram(Tca().align(rows).source), atol=1e-9)
    method, domains, classes = Jda(), domain_contrast(14, 11), class_contrasts(rows.labels, np.arange(11) % 3)
    pooled = np.concatenate([rows.source, rows.target])
    phi = KernelFeatures(pooled, (pooled - pooled.mean(axis=0)).T @ (pooled - pooled.mean(axis=0)))
    jda, bda = (method.solve(phi, s * np.concatenate([domains, classes], axis=1)) for s in (1.0, np.sqrt(0.5)))
    np.testing.assert_allclose(gram(jda), gram(bda), atol=1e-9)


def test_the_balance_is_estimated_from_a_distances(rng):
    """After a shift of the target all A-distances are 2; with swapped classes, only those of the classes are large."""
    labels = np.arange(200) % 2
    centres = np.where(labels, 4.0, -4.0)[:, None]
    source, target = (centres + rng.normal(size=(200, 1)) for _ in range(2))
    assert estimate_balance(TrainingRows(source, labels, target + 100), labels) == pytest.approx(0.5)
    assert estimate_balance(TrainingRows(source, labels, target), 1 - labels) > 0.8
    single_rows = TrainingRows(source[:1], labels[:1], target[:1])
    assert estimate_balance(single_rows, labels[:1]) == 0.5


@pytest.mark.parametrize("method", [Tca, Jda, Bda])
def test_components_remove_an_offset_that_misleads_nearest_neighbours(method, rng):
    """The target is shifted along the second input, so the nearest source rows are outliers of any class."""
    labels = np.arange(200) % 2
    centres = np.stack([np.where(labels, 2.5, -2.5), np.zeros(200)], axis=1)
    source, target = (centres + rng.normal(size=(200, 2)) for _ in range(2))
    target[:, 1] += 30
    adapted = method(dimensions=1, scaling="none", unit_rows=False).fit(source, labels, target).predict(target)
    unadapted = NearestNeighbour().fit(source, labels, target).predict(target)
    assert (adapted == labels).mean() > 0.95
    assert (unadapted == labels).mean() < 0.75
