"""DDC, JAN, CMD, HoMM and MMDA against their papers' equations in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.types import Output
from da_bench.methods import Cmd, Coral, Ddc, EntropyMinimisation, Homm, Jan, Mmda
from tests.helpers.method_inputs import loss_context


def outputs(rng, rows=(6, 6)):
    return [
        Output(*(jnp.asarray(rng.normal(size=(n, width)) + shift) for width in (4, 3)))
        for n, shift in zip(rows, (0.0, 0.5), strict=True)
    ]


def term(method, source, target, progress=0.5, key=0):
    return method.loss(loss_context(source, target, progress=progress, key=key))


@pytest.mark.parametrize("layer", ["features", "logits"])
def test_ddc_is_a_squared_distance_of_means(layer, rng, x64):
    source, target = outputs(rng, (6, 4))
    means = [np.asarray(getattr(x, layer)).mean(axis=0) for x in (source, target)]
    expected = 0.25 * np.linalg.norm(means[0] - means[1]) ** 2
    assert term(Ddc(layer=layer), source, target) == pytest.approx(expected, rel=1e-12)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def distances(x):
    return np.array([[np.sum((a - b) ** 2) for b in x] for a in x])


def jan_kernel(source, target, kernels):
    """Kernel of the pooled sample, with the authors' bandwidths or the median of the n (n - 1) / 2 distances."""
    features = distances(np.concatenate([source.features, target.features]))
    predictions = distances(softmax(np.concatenate([source.logits, target.logits])))
    n = len(features)
    if kernels == "median":
        return np.prod([np.exp(-d / np.sort(d[np.triu_indices(n, 1)])[32]) for d in (features, predictions)], axis=0)
    mean = features.sum() / (n * n - n)
    return sum(np.exp(-features / (mean / 4 * 2**i)) for i in range(5)) * np.exp(-predictions / 1.68)


def estimated(k, n, estimator):
    source, target, cross = k[:n, :n], k[n:, n:], k[:n, n:]
    if estimator == "biased":
        return source.mean() + target.mean() - 2 * cross.mean()
    if estimator == "unbiased":
        within = [
            sum(part[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for part in (source, target)
        ]
        return sum(within) - 2 * cross.mean()
    pairs = [(2 * i, 2 * i + 1) for i in range(n // 2)]
    return np.mean([source[i, j] + target[i, j] - cross[i, j] - cross[j, i] for i, j in pairs])


@pytest.mark.parametrize("kernels", ["official", "median"])
@pytest.mark.parametrize("estimator", ["biased", "unbiased", "linear"])
def test_jan_multiplies_the_kernels_of_its_layers(kernels, estimator, rng, x64):
    source, target = outputs(rng)  # 12 rows, 66 distances, whose lower median has index 32
    method = Jan(weight=1.5, schedule="constant", kernels=kernels, estimator=estimator)
    expected = 1.5 * estimated(jan_kernel(source, target, kernels), 6, estimator)
    assert term(method, source, target) == pytest.approx(expected, rel=1e-10)


def test_jan_ramps_its_weight(rng, x64):
    source, target = outputs(rng)
    full = term(Jan(schedule="constant"), source, target)
    assert term(Jan(), source, target, 0.1) == pytest.approx(float(full) * np.tanh(0.5), rel=1e-12)


def test_jan_sees_joint_differences(rng, x64):
    """With equal features in both domains but exchanged classes, only the joint distributions differ."""
    features = jnp.asarray(rng.normal(size=(6, 4)))
    logits = 3 * jax.nn.one_hot(jnp.arange(6) % 2, 2)
    source, target = Output(features, logits), Output(features, logits[:, ::-1])
    different, equal = (Jan(estimator="biased").joint_mmd(source, each) for each in (target, source))
    assert equal == pytest.approx(0, abs=1e-12)
    assert different > 0.1


def test_jan_sends_gradients_through_the_softmax(rng, x64):
    source, target = outputs(rng)
    gradient = jax.grad(lambda s: term(Jan(), s, target))(source)
    assert jnp.abs(gradient.logits).max() > 1e-4


def test_cmd_is_the_sum_of_its_moments(rng, x64):
    """One dimension, K = 2, by hand: source {0, 2} has mean 1 and variance 1; target {3, 7} mean 5 and variance 4."""
    source, target = (Output(jnp.asarray(x)[:, None], jnp.zeros((2, 2))) for x in ([0.0, 2.0], [3.0, 7.0]))
    assert term(Cmd(weight=2.0, moments=2, interval=2.0), source, target) == pytest.approx(2 * (4 / 2 + 3 / 4))


@pytest.mark.parametrize("moments", ["raw", "central"])
def test_homm_is_the_mean_over_the_moment_tensor(moments, rng, x64):
    source, target = outputs(rng, (6, 4))
    tensors = []
    for x in (np.asarray(source.features), np.asarray(target.features)):
        rows = x - x.mean(axis=0) if moments == "central" else x
        tensors.append(np.mean([np.multiply.outer(np.multiply.outer(row, row), row) for row in rows], axis=0))
    expected = 3.0 * np.mean((tensors[0] - tensors[1]) ** 2)
    assert term(Homm(weight=3.0, moments=moments), source, target) == pytest.approx(expected, rel=1e-10)


def test_sampled_homm_is_near_the_full_value_and_changes_with_the_key(rng, x64):
    source, target = outputs(rng)
    full = float(term(Homm(), source, target))
    first, second = (float(term(Homm(entries="sampled", samples=20000), source, target, key=key)) for key in (0, 1))
    assert first != second
    assert first == pytest.approx(full, rel=0.1)


def test_mmda_is_the_sum_of_its_three_terms(rng, x64):
    """The kernel term by numpy, the other two by the methods they come from."""
    source, target = outputs(rng)
    d = distances(np.concatenate([source.features, target.features]))
    mean = d.sum() / (12 * 11)
    kernel = np.mean([np.exp(-d / (mean * 2.0**i)) for i in range(-2, 3)], axis=0)
    expected = 2 * (
        0.7 * estimated(kernel, 6, "biased")
        + term(Coral(weight=0.3, layer="features"), source, target)
        + term(EntropyMinimisation(weight=0.2), source, target)
    )
    method = Mmda(weight=2.0, mmd_weight=0.7, coral_weight=0.3, entropy_weight=0.2)
    assert term(method, source, target) == pytest.approx(float(expected), rel=1e-10)
