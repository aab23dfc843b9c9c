"""CORAL and MMD as methods: layer, weight and bandwidth, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.core.types import Output
from da_bench.methods import Coral, Mmd
from tests.helpers.method_inputs import loss_context


def outputs(rng):
    return [Output(*(jnp.asarray(rng.normal(size=(6, width)) + shift) for width in (4, 3))) for shift in (0.0, 0.5)]


def term(method, source, target):
    return method.loss(loss_context(source, target))


@pytest.mark.parametrize("layer", ["logits", "features"])
def test_coral_aligns_the_given_layer(layer, rng, x64):
    source, target = outputs(rng)
    covariances = [np.cov(getattr(x, layer), rowvar=False) for x in (source, target)]
    width = covariances[0].shape[0]
    expected = 2.5 * np.sum((covariances[0] - covariances[1]) ** 2) / (4 * width**2)
    assert term(Coral(weight=2.5, layer=layer), source, target) == pytest.approx(expected, rel=1e-12)


def test_coral_with_means_equals_the_formula_of_other_suites(rng, x64):
    """TLlib, DomainBed and WILDS: mean((C_s - C_t)^2) + mean((mu_s - mu_t)^2), which is weight 4 here."""
    source, target = outputs(rng)
    source_features, target_features = np.asarray(source.features), np.asarray(target.features)
    covariances = np.mean((np.cov(source_features, rowvar=False) - np.cov(target_features, rowvar=False)) ** 2)
    expected = covariances + np.mean((source_features.mean(axis=0) - target_features.mean(axis=0)) ** 2)
    assert term(Coral(weight=4, layer="features", means=True), source, target) == pytest.approx(expected, rel=1e-12)


def biased_mmd(source, target, factors, centre):
    pooled = np.concatenate([source, target])
    distances = np.array([[np.sum((a - b) ** 2) for b in pooled] for a in pooled])
    bandwidth = centre(distances[np.triu_indices(len(pooled), 1)])
    kernel = np.mean([np.exp(-distances / (factor * bandwidth)) for factor in factors], axis=0)
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def lower_median(values):
    return np.sort(values)[(len(values) - 1) // 2]


@pytest.mark.parametrize(("bandwidth", "centre"), [("median", lower_median), ("mean", np.mean)])
def test_mmd_sums_over_layers_each_with_its_own_bandwidth(bandwidth, centre, rng, x64):
    source, target = outputs(rng)
    method = Mmd(weight=2.0, estimator="biased", bandwidth=bandwidth, factors=(0.5, 1.0, 2.0))
    expected = 2.0 * sum(
        biased_mmd(np.asarray(getattr(source, layer)), np.asarray(getattr(target, layer)), method.factors, centre)
        for layer in ("features", "logits")
    )
    assert term(method, source, target) == pytest.approx(expected, rel=1e-10)


def test_the_bandwidth_carries_no_gradient(rng, x64):
    """If it did, scaling both samples would change nothing, and the gradient along the scale would vanish."""
    source, target = outputs(rng)

    def scaled(scale):
        return term(
            Mmd(layers=("features",), estimator="biased"), *(jax.tree.map(lambda x: scale * x, (source, target)))
        )

    assert scaled(1.0) == pytest.approx(float(scaled(3.0)), rel=1e-9)
    assert abs(jax.grad(scaled)(1.0)) > 1e-3


def test_mmd_gradient_equals_finite_differences_at_a_fixed_bandwidth(rng, x64):
    source, target = outputs(rng)
    x, y = np.asarray(source.features), np.asarray(target.features)
    pooled = np.concatenate([x, y])
    fixed = lower_median(np.sum((pooled[:, None] - pooled[None]) ** 2, axis=2)[np.triu_indices(12, 1)])
    method = Mmd(layers=("features",), estimator="biased", factors=(1.0,))
    gradient = jax.grad(lambda f: term(method, Output(f, source.logits), target))(source.features)
    nudge = np.zeros_like(x)
    nudge[2, 1] = 1e-6
    up, down = (biased_mmd(x + sign * nudge, y, (1.0,), lambda _: fixed) for sign in (1, -1))
    assert gradient[2, 1] == pytest.approx((up - down) / 2e-6, rel=1e-5)
