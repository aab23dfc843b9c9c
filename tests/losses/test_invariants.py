"""Properties of the losses for arbitrary samples, in double precision: bounds, symmetries and invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from da_bench.core.types import Output
from da_bench.losses.adversarial import domain_cross_entropy, log_one_minus_probability, reverse_gradient
from da_bench.losses.disagreement import classifier_discrepancy, random_directions, sliced_wasserstein_discrepancy
from da_bench.losses.distances import norm, squared_distances
from da_bench.losses.entropy import (
    class_confusion,
    conditional_entropy,
    information_maximisation,
    kl_divergence,
    marginal_divergence,
    row_entropies,
)
from da_bench.losses.mmd import gaussian_kernel, mmd
from da_bench.losses.moments import central_moment_gap, covariance_gap, mean_gap, tensor_moment_gap
from da_bench.losses.pseudo_labels import align_distribution
from da_bench.losses.spectrum import nuclear_norm
from da_bench.losses.transport import sinkhorn
from da_bench.methods import Jan, Mmd
from da_bench.methods.jan import FEATURE_FACTORS

N, D = 6, 3
EPSILON = 0.5
LOG = np.log(D)

# one shape per function, so each is compiled once
any_samples = settings(deadline=None, derandomize=True, max_examples=25, database=None)
numbers = st.integers(-64, 64).map(lambda k: k / 16)  # few exact values, so ties and equal rows occur
samples = arrays(np.float64, (N, D), elements=numbers)
points = arrays(np.float64, D, elements=numbers)
weights = st.integers(0, 32).map(lambda k: k / 16)
orders = st.permutations(range(N)).map(np.array)


@pytest.fixture(scope="module", autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def transport_cost(source, target):
    """Least <plan, cost> + epsilon KL(plan | 1/n 1/m) for squared distances in the unit cube."""
    cost = squared_distances(source / 8, target / 8)
    plan = sinkhorn(cost, EPSILON, 60)
    return jnp.sum(plan * cost) + EPSILON * jnp.sum(jax.scipy.special.xlogy(plan, plan * cost.size))


def sinkhorn_divergence(source, target):
    """Genevay et al. 2018; Feydy et al. 2019 prove that it is never negative."""
    own = transport_cost(source, source) + transport_cost(target, target)
    return transport_cost(source, target) - own / 2


def kernel_gap(source, target):
    return mmd(gaussian_kernel(jnp.concatenate([source, target]), "mean", (0.5, 2.0)), N, "biased")


def sliced_gap(source, target):
    return sliced_wasserstein_discrepancy(source, target, random_directions(jax.random.key(0), D, 5))


# with tolerances: a transport plan is as exact as its iterations make it
GAPS = {
    "biased MMD": (jax.jit(kernel_gap), 1e-12),
    "CORAL": (jax.jit(covariance_gap), 1e-12),
    "means": (jax.jit(mean_gap), 1e-12),
    "CMD": (jax.jit(lambda s, t: central_moment_gap(s, t, 4, 8.0)), 1e-12),
    "HoMM": (jax.jit(lambda s, t: tensor_moment_gap(s, t, 3)), 1e-9),
    "sliced Wasserstein": (jax.jit(sliced_gap), 1e-12),
    "Sinkhorn divergence": (jax.jit(sinkhorn_divergence), 1e-5),
}


@pytest.mark.parametrize("name", GAPS)
@any_samples
@given(samples, samples, orders)
def test_gaps_are_symmetric_non_negative_zero_for_equal_samples_and_ignore_order(name, source, target, order):
    gap, tolerance = GAPS[name]
    value = float(gap(source, target))
    assert value >= -tolerance
    assert gap(source, source[order]) == pytest.approx(0, abs=tolerance)
    assert gap(target, source) == pytest.approx(value, rel=1e-6, abs=tolerance)
    assert gap(source[order], target) == pytest.approx(value, rel=1e-6, abs=tolerance)


@any_samples
@given(samples, samples, points)
def test_coral_ignores_translations(source, target, shift):
    gap, _ = GAPS["CORAL"]
    assert gap(source + shift, target) == pytest.approx(float(gap(source, target)), rel=1e-9, abs=1e-12)


@any_samples
@given(samples, samples, points)
def test_gaps_ignore_a_common_translation(source, target, shift):
    for name in ("biased MMD", "means", "CMD", "sliced Wasserstein"):
        gap, tolerance = GAPS[name]
        assert gap(source + shift, target + shift) == pytest.approx(float(gap(source, target)), rel=1e-9, abs=tolerance)


@any_samples
@given(samples, points)
def test_cmd_of_a_translation_is_the_distance_of_the_means(source, shift):
    """Central moments do not change; the interval has length 8."""
    gap, _ = GAPS["CMD"]
    assert gap(source, source + shift) == pytest.approx(np.linalg.norm(shift) / 8, abs=1e-12)


joint = jax.jit(lambda s, t: Jan().joint_mmd(Output(s, jnp.zeros((N, 4))), Output(t, jnp.zeros((N, 4)))))
of_one_layer = jax.jit(Mmd(bandwidth="mean", factors=FEATURE_FACTORS).squared_mmd)


@any_samples
@given(samples, samples)
def test_jan_with_one_layer_equals_mmd(source, target):
    """Equal predictions multiply the kernel by one. JAN sums its kernels, DAN takes their mean."""
    assert joint(source, target) == pytest.approx(len(FEATURE_FACTORS) * float(of_one_layer(source, target)), abs=1e-12)


entropies = jax.jit(lambda z: (row_entropies(z), conditional_entropy(z), marginal_divergence(z)))
information = jax.jit(information_maximisation)


@any_samples
@given(samples, orders, numbers)
def test_entropies_have_bounds_and_ignore_order_and_a_constant(logits, order, constant):
    rows, mean, marginal = entropies(logits)
    assert (np.asarray(rows) >= -1e-12).all()
    assert (np.asarray(rows) <= LOG + 1e-12).all()
    assert -1e-12 <= marginal <= LOG + 1e-12
    assert mean <= LOG - marginal + 1e-12  # entropy is concave
    assert -1e-12 <= information(logits) <= LOG + 1e-12
    np.testing.assert_allclose(entropies(logits[order] + constant)[0], rows[order], atol=1e-12)
    np.testing.assert_allclose(entropies(logits[order] + constant)[1:], (mean, marginal), atol=1e-12)


predicted = jax.jit(lambda z: (class_confusion(z, 2.5), nuclear_norm(jax.nn.softmax(z)), jax.nn.softmax(z)))


@any_samples
@given(samples, orders)
def test_confusion_and_nuclear_norm_have_bounds_and_ignore_order(logits, order):
    """||p||_F <= ||p||_* <= sqrt(min(n, c)) ||p||_F, and sqrt(n / c) <= ||p||_F <= sqrt(n)."""
    confusion, nuclear, p = predicted(logits)
    length = np.linalg.norm(p)
    assert -1e-12 <= confusion <= 1
    assert length - 1e-9 <= nuclear <= np.sqrt(min(N, D)) * length + 1e-9
    assert np.sqrt(N / D) - 1e-9 <= nuclear <= np.sqrt(N * min(N, D)) + 1e-9
    np.testing.assert_allclose(predicted(logits[order])[:2], (confusion, nuclear), rtol=1e-9)


between = jax.jit(kl_divergence)


@any_samples
@given(samples, samples, numbers)
def test_kl_is_non_negative_and_zero_for_equal_distributions(fixed, logits, constant):
    assert between(fixed, logits) >= -1e-12
    assert between(logits, logits + constant) == pytest.approx(0, abs=1e-12)


first_direction = jax.jit(lambda s, t: sliced_wasserstein_discrepancy(s, t, jnp.eye(D)[:, :1]))


@any_samples
@given(samples, samples)
def test_sliced_wasserstein_on_a_line_equals_the_best_assignment(source, target):
    """SciPy's assignment solver on the squared distances of the first coordinates."""
    cost = (source[:, None, 0] - target[None, :, 0]) ** 2
    rows, columns = linear_sum_assignment(cost)
    assert first_direction(source, target) == pytest.approx(cost[rows, columns].mean(), abs=1e-12)


probabilities = jax.jit(
    lambda s, t: (
        classifier_discrepancy(jax.nn.softmax(s), jax.nn.softmax(t)),
        align_distribution(*map(jax.nn.softmax, (s, t))),
    )
)


@any_samples
@given(samples, samples)
def test_discrepancy_is_at_most_two_over_c_and_aligned_rows_are_distributions(source, target):
    gap, rows = probabilities(source, target)
    assert 0 <= gap <= 2 / D
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)


logistic = jax.jit(domain_cross_entropy)
others = jax.jit(lambda z: log_one_minus_probability(z, jnp.arange(N) % D))


@any_samples
@given(samples, samples)
def test_domain_cross_entropy_is_symmetric_in_the_domains(source, target):
    source_logits, target_logits = source[:, 0], target[:, 0]
    assert logistic(source_logits, target_logits) >= 0
    assert logistic(-target_logits, -source_logits) == pytest.approx(
        float(logistic(source_logits, target_logits)), rel=1e-12
    )
    assert (np.asarray(others(source)) <= 0).all()


plain_gradient = jax.jit(jax.grad(lambda x: jnp.sum(jnp.tanh(x))))
reversed_gradient = jax.jit(jax.grad(lambda x, w: jnp.sum(jnp.tanh(reverse_gradient(x, w)))))
twice = jax.jit(jax.grad(lambda x, w: jnp.sum(jnp.tanh(reverse_gradient(reverse_gradient(x, w), w)))))


@any_samples
@given(samples, weights)
def test_reversing_a_gradient_twice_restores_its_sign(x, weight):
    np.testing.assert_allclose(reversed_gradient(x, weight), -weight * plain_gradient(x), atol=1e-15)
    np.testing.assert_allclose(twice(x, weight), weight**2 * plain_gradient(x), atol=1e-15)


lengths = jax.jit(norm)


@any_samples
@given(samples, samples, weights)
def test_norms_are_homogeneous_and_obey_the_triangle_inequality(x, y, factor):
    np.testing.assert_allclose(lengths(factor * x), factor * lengths(x), rtol=1e-12)
    assert (lengths(x + y) <= lengths(x) + lengths(y) + 1e-12).all()
