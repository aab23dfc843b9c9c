"""Every function of da_bench.losses against float64 numpy: 1e-10 in double precision, 1e-5 in single."""

import importlib
import itertools
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import entr, expit, log_softmax, softmax

import da_bench.losses
from da_bench.losses import (
    adversarial,
    clusters,
    disagreement,
    distances,
    entropy,
    mmd,
    moments,
    pseudo_labels,
    spectrum,
    transport,
)

N, M, D, C = 6, 5, 4, 3
FACTORS = (0.25, 1.0, 4.0)
LABELS = np.array([0, 2, 1, 1, 0, 2], np.int32)
ENTRIES = np.array([[0, 1, 1], [3, 2, 0], [3, 3, 3]], np.int32)
FILLED = np.array([True, True, False, True, True, True])
TESTED_ELSEWHERE = {
    "random_directions": "random; tested in tests/losses/test_disagreement.py",
}


def normal(*shapes):
    """Draw arrays of normal numbers with the given shapes."""
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


def positive(*shapes):
    return lambda rng: tuple(rng.uniform(0.1, 1.0, size=shape) for shape in shapes)


def probable(*rows):
    return lambda rng: tuple(rng.dirichlet(np.ones(C), size=n) for n in rows)


def pairwise_squares(x, y):
    return np.array([[np.sum((a - b) ** 2) for b in y] for a in x])


def gaussians(squared, bandwidth):
    return sum(np.exp(-squared / (f * bandwidth)) for f in FACTORS) / len(FACTORS)


def median_kernel(x):
    squared = pairwise_squares(x, x)
    pairs = sorted(squared[i, j] for i, j in itertools.combinations(range(len(x)), 2))
    return gaussians(squared, pairs[(len(pairs) - 1) // 2])


def mean_kernel(x):
    squared = pairwise_squares(x, x)
    return gaussians(squared, np.mean([squared[i, j] for i, j in itertools.combinations(range(len(x)), 2)]))


def gram(x):
    return x @ x.T


def estimate(kernel, n, which):
    s, t, c = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    if which == "biased":
        return s.mean() + t.mean() - 2 * c.mean()
    if which == "linear":
        return np.mean([s[i, i + 1] + t[i, i + 1] - c[i, i + 1] - c[i + 1, i] for i in range(0, n - 1, 2)])
    if which == "cyclic":
        pairs = [(i, (i + 1) % n) for i in range(n)]
        return np.mean([s[i, j] + t[i, j] - c[i, j] - c[j, i] for i, j in pairs])
    return sum((x.sum() - np.trace(x)) / (len(x) * (len(x) - 1)) for x in (s, t)) - 2 * c.mean()


def local_gap(kernel, source, target, counted):
    gaps = []
    for k in np.flatnonzero(counted):
        a, b = source[:, k] / source[:, k].sum(), target[:, k] / target[:, k].sum()
        gaps.append(a @ kernel[:N, :N] @ a + b @ kernel[N:, N:] @ b - 2 * a @ kernel[:N, N:] @ b)
    return np.mean(gaps)


def logistic(logits, from_source):
    return -np.log(expit(logits if from_source else -logits))


def weighted_domain_loss(logits, weights):
    losses = weights * np.array([logistic(z, i < N) for i, z in enumerate(logits)])
    return losses[:N].mean() + losses[N:].mean()


def linear_classifier(w):
    return lambda x: x @ w


def confusion(logits):
    p = softmax(logits / 2.5, axis=1)
    weights = 1 + np.exp(-entr(p).sum(axis=1))
    shared = p.T @ np.diag(N * weights / weights.sum()) @ p
    return 1 - np.mean(np.diag(shared) / shared.sum(axis=1))


def kl(p, q):
    return np.sum(p * np.log(p / q), axis=-1)


def marginal(logits):
    return np.log(C) - entr(softmax(logits, axis=1).mean(axis=0)).sum()


def confident(logits, p):
    confident_rows = p.max(axis=1) >= 0.5
    return np.mean(
        [-log_softmax(z)[q.argmax()] if keep else 0.0 for z, q, keep in zip(logits, p, confident_rows, strict=True)]
    )


def aligned(target, source):
    rescaled = target * ((source.mean(axis=0) + 1e-6) / (target.mean(axis=0) + 1e-6))
    return rescaled / rescaled.sum(axis=1, keepdims=True)


def cosine(x, y):
    return np.array([[a @ b / np.sqrt((a @ a) * (b @ b)) for b in y] for a in x])


def central(x, k):
    return np.mean((x - x.mean(axis=0)) ** k, axis=0)


def cmd(source, target):
    gaps = [np.linalg.norm(central(source, k) - central(target, k)) / 2.0**k for k in (2, 3, 4)]
    return np.linalg.norm(source.mean(axis=0) - target.mean(axis=0)) / 2.0 + sum(gaps)


def tensor(x):
    return np.einsum("ni,nj,nk->ijk", x, x, x) / len(x)


def sampled(source, target):
    return np.mean([(tensor(source)[tuple(i)] - tensor(target)[tuple(i)]) ** 2 for i in ENTRIES])


def scaled_plan(cost, power):
    """Sinkhorn's scalings of exp(-cost / 0.5). `power` is tau / (tau + epsilon), 1 for balanced transport."""
    n, m = cost.shape
    kernel, u, v = np.exp(-cost / 0.5) / (n * m), np.ones(n), np.ones(m)
    for _ in range(3000):
        v = (1 / m / (kernel.T @ u)) ** power
        u = (1 / n / (kernel @ v)) ** power
    return u[:, None] * kernel * v[None, :]


def nearest_two(features):
    cosines = cosine(features, features)
    order = [[j for j in np.argsort(-row) if FILLED[j] and j != i][:2] for i, row in enumerate(cosines)]
    return np.array(order), np.ones((N, 2), bool)


def slices(first, second, directions):
    function, q = (np.sort(x @ directions, axis=0) for x in (first, second))
    return np.mean((function - q) ** 2)


def of_mmd(which):
    rows = N if which in ("linear", "cyclic") else M
    return (
        lambda x: mmd.mmd(mmd.gaussian_kernel(x, "mean", FACTORS), N, which),
        lambda x: estimate(mean_kernel(x), N, which),
        normal((N + rows, D)),
    )


COUNTED = np.array([True, False, True])
# name of the function, or name/case: (function, the same in numpy, how to draw its arguments)
CASES = {
    "reverse_gradient": (
        jax.grad(lambda x: jnp.sum(adversarial.reverse_gradient(x, 0.3) ** 3)),
        lambda x: -0.9 * x**2,
        normal((N, D)),
    ),
    "domain_cross_entropy": (
        adversarial.domain_cross_entropy,
        lambda s, t: logistic(s, True).mean() + logistic(t, False).mean(),
        normal(N, M),
    ),
    "weighted_domain_cross_entropy": (
        lambda z, w: adversarial.weighted_domain_cross_entropy(z, w, N),
        weighted_domain_loss,
        positive(N + M, N + M),
    ),
    "domain_adversarial_loss": (
        lambda s, t, w: adversarial.domain_adversarial_loss(linear_classifier(w), s, t, 0.7),
        lambda s, t, w: logistic(s @ w, True).mean() + logistic(t @ w, False).mean(),
        normal((N, D), (M, D), D),
    ),
    "multilinear_map": (
        adversarial.multilinear_map,
        lambda f, g: np.stack([np.kron(a, b) for a, b in zip(f, g, strict=True)]),
        normal((N, D), (N, C)),
    ),
    "randomised_multilinear_map": (
        adversarial.randomised_multilinear_map,
        lambda f, g, a, b: np.einsum("ni,ir,nj,jr->nr", f, a, g, b) / np.sqrt(8),
        normal((N, D), (N, C), (D, 8), (C, 8)),
    ),
    "log_one_minus_probability": (
        lambda z: adversarial.log_one_minus_probability(z, LABELS),
        lambda z: np.log(1 - softmax(z, axis=1)[np.arange(N), LABELS]),
        normal((N, C)),
    ),
    "gradient_penalty": (
        lambda x, w: adversarial.gradient_penalty(lambda x: jnp.sin(x @ w), x),
        lambda x, w: np.mean((np.abs(np.cos(x @ w)) * np.linalg.norm(w) - 1) ** 2),
        normal((N, D), D),
    ),
    "normalise_rows": (
        distances.normalise_rows,
        lambda x: x / np.sqrt((x**2).sum(axis=1, keepdims=True)),
        normal((N, D)),
    ),
    "cosine_similarity": (distances.cosine_similarity, cosine, normal((N, D), (M, D))),
    "centroids": (
        lambda x, w: clusters.centroids(x, w)[0],
        lambda x, w: np.stack([np.average(x, axis=0, weights=column) for column in w.T]),
        positive((N, D), (N, C)),
    ),
    "nearest_centroid": (
        lambda x, y: clusters.nearest_centroid(x, y, COUNTED),
        lambda x, y: np.where(COUNTED, cosine(x, y), -np.inf).argmax(axis=1),
        normal((N, D), (C, D)),
    ),
    "classifier_discrepancy": (
        disagreement.classifier_discrepancy,
        lambda p, q: np.abs(p - q).sum() / (N * C),
        probable(N, N),
    ),
    "sliced_wasserstein_discrepancy": (
        disagreement.sliced_wasserstein_discrepancy,
        slices,
        normal((N, C), (N, C), (C, 7)),
    ),
    "row_entropies": (entropy.row_entropies, lambda z: entr(softmax(z, axis=1)).sum(axis=1), normal((N, C))),
    "conditional_entropy": (entropy.conditional_entropy, lambda z: entr(softmax(z, axis=1)).sum() / N, normal((N, C))),
    "class_confusion": (lambda z: entropy.class_confusion(z, 2.5), confusion, normal((N, C))),
    "nuclear_norm": (spectrum.nuclear_norm, lambda x: np.linalg.svd(x, compute_uv=False).sum(), normal((N, C))),
    "kl_divergence": (
        entropy.kl_divergence,
        lambda a, b: kl(softmax(a, axis=1), softmax(b, axis=1)).mean(),
        normal((N, C), (N, C)),
    ),
    "marginal_divergence": (entropy.marginal_divergence, marginal, normal((N, C))),
    "information_maximisation": (
        entropy.information_maximisation,
        lambda z: entr(softmax(z, axis=1)).sum() / N + marginal(z),
        normal((N, C)),
    ),
    "pairwise_cross_entropy": (
        lambda z: transport.pairwise_cross_entropy(LABELS, z),
        lambda z: np.array([[-log_softmax(row)[y] for row in z] for y in LABELS]),
        normal((M, C)),
    ),
    "pairwise_label_distances": (
        lambda z: transport.pairwise_label_distances(LABELS, z),
        lambda z: pairwise_squares(np.eye(C)[LABELS], softmax(z, axis=1)),
        normal((M, C)),
    ),
    "squared_distances": (distances.squared_distances, pairwise_squares, normal((N, D), (M, D))),
    "lower_median": (mmd.lower_median, lambda x: np.sort(x)[4], positive(10)),
    "multi_gaussian_kernel": (
        lambda d: mmd.multi_gaussian_kernel(d, jnp.asarray(1.5, d.dtype), FACTORS),
        lambda d: gaussians(d, 1.5),
        positive((N, M)),
    ),
    "gaussian_kernel/median": (lambda x: mmd.gaussian_kernel(x, "median", FACTORS), median_kernel, normal((N, D))),
    "gaussian_kernel/mean": (lambda x: mmd.gaussian_kernel(x, "mean", FACTORS), mean_kernel, normal((N, D))),
    **{f"mmd/{which}": of_mmd(which) for which in ("unbiased", "biased", "linear", "cyclic")},
    "local_mmd": (
        lambda x, s, t: mmd.local_mmd(x @ x.T, s, t, COUNTED),
        lambda x, s, t: local_gap(gram(x), s, t, COUNTED),
        positive((N + M, D), (N, C), (M, C)),
    ),
    "covariance": (moments.covariance, lambda x: np.cov(x, rowvar=False), normal((N, D))),
    "covariance_gap/few dimensions": (
        moments.covariance_gap,
        lambda s, t: np.sum((np.cov(s.T) - np.cov(t.T)) ** 2) / (4 * D**2),
        normal((N, D), (M, D)),
    ),
    "covariance_gap/many dimensions": (
        moments.covariance_gap,
        lambda s, t: np.sum((np.cov(s.T) - np.cov(t.T)) ** 2) / (4 * 30**2),
        normal((N, 30), (M, 30)),
    ),
    "mean_gap": (
        moments.mean_gap,
        lambda s, t: np.linalg.norm(s.mean(axis=0) - t.mean(axis=0)) ** 2,
        normal((N, D), (M, D)),
    ),
    "central_moment_gap": (lambda s, t: moments.central_moment_gap(s, t, 4, 2.0), cmd, normal((N, D), (M, D))),
    "tensor_moment_gap": (
        lambda s, t: moments.tensor_moment_gap(s, t, 3),
        lambda s, t: np.mean((tensor(s) - tensor(t)) ** 2),
        normal((N, D), (M, D)),
    ),
    "sampled_moment_gap": (lambda s, t: moments.sampled_moment_gap(s, t, ENTRIES), sampled, normal((N, D), (M, D))),
    "nearest_neighbours": (
        lambda x: clusters.nearest_neighbours(x, np.arange(N), x, jnp.asarray(FILLED), 2),
        nearest_two,
        normal((N, D)),
    ),
    "norm": (distances.norm, lambda x: np.sqrt((x**2).sum(axis=1)), normal((N, D))),
    "singular_values": (
        spectrum.singular_values,
        lambda x: np.sqrt(np.linalg.eigvalsh(x.T @ x)[::-1]),
        normal((N, D)),
    ),
    "singular_values/gradient": (
        jax.grad(lambda x: jnp.sum(spectrum.singular_values(x) ** 3)),
        lambda x: 3 * x @ sqrtm(x.T @ x).real,
        normal((N, D)),
    ),
    "confident_cross_entropy": (
        lambda z, p: pseudo_labels.confident_cross_entropy(z, p, 0.5),
        confident,
        lambda rng: (rng.normal(size=(N, C)), rng.dirichlet(np.ones(C), size=N)),
    ),
    "align_distribution": (pseudo_labels.align_distribution, aligned, probable(M, N)),
    "sinkhorn": (
        lambda cost: transport.sinkhorn(cost, 0.5, 300),
        lambda cost: scaled_plan(cost, 1.0),
        positive((N, M)),
    ),
    "unbalanced_sinkhorn": (
        lambda cost: transport.unbalanced_sinkhorn(cost, 0.5, 2.0, 300),
        lambda cost: scaled_plan(cost, 2.0 / 2.5),
        positive((N, M)),
    ),
}


def public_functions():
    """Names of all public functions in da_bench.losses."""
    for module in pkgutil.iter_modules(da_bench.losses.__path__, "da_bench.losses."):
        actual = vars(importlib.import_module(module.name)).items()
        names = (name for name, thing in actual if getattr(thing, "__module__", "") == module.name and callable(thing))
        yield from (name for name in names if not name.startswith("_"))


def test_every_function_has_a_case():
    assert {case.split("/")[0] for case in CASES} | set(TESTED_ELSEWHERE) == set(public_functions())


@pytest.mark.parametrize("name", CASES)
def test_double_precision(name, rng, x64):
    compare(name, rng, np.float64, 1e-10)


@pytest.mark.parametrize("name", CASES)
def test_single_precision(name, rng):
    compare(name, rng, np.float32, 1e-5)


def compare(name, rng, dtype, tolerance):
    """Both functions get the same rounded numbers, so rounding of the inputs is no difference."""
    function, expected, draw = CASES[name]
    inputs = [np.asarray(x, dtype) for x in draw(rng)]
    actual = jax.jit(function)(*map(jnp.asarray, inputs))
    expected_values = expected(*(x.astype(np.float64) for x in inputs))
    for value, expected_value in zip(jax.tree.leaves(actual), jax.tree.leaves(expected_values), strict=True):
        assert value.dtype == dtype or not np.issubdtype(value.dtype, np.floating)
        np.testing.assert_allclose(value, expected_value, rtol=tolerance, atol=tolerance)
