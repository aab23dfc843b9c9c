import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.adversarial import (
    domain_cross_entropy,
    gradient_penalty,
    log_one_minus_probability,
    multilinear_map,
    randomised_multilinear_map,
    reverse_gradient,
    weighted_domain_cross_entropy,
)


def test_gradient_reversal_keeps_values_and_multiplies_gradients_by_minus_weight(rng, x64):
    x = jnp.asarray(rng.normal(size=(3, 2)))
    assert (reverse_gradient(x, 0.7) == x).all()
    plain = jax.grad(lambda x: jnp.sum(x**3))(x)
    reversed_ = jax.grad(lambda x: jnp.sum(reverse_gradient(x, 0.7) ** 3))(x)
    np.testing.assert_allclose(reversed_, -0.7 * plain, rtol=1e-15)


def test_gradient_reversal_gives_its_weight_no_gradient():
    assert jax.grad(lambda w: jnp.sum(reverse_gradient(jnp.ones(3), w)))(2.0) == 0


def test_domain_cross_entropy_by_its_definition(rng, x64):
    source, target = rng.normal(size=5), rng.normal(size=3)
    from_source, from_target = 1 / (1 + np.exp(-source)), 1 / (1 + np.exp(-target))
    expected = -np.log(from_source).mean() - np.log(1 - from_target).mean()
    assert domain_cross_entropy(jnp.asarray(source), jnp.asarray(target)) == pytest.approx(expected, rel=1e-12)


def test_domain_cross_entropy_of_zero_logits_is_two_log_two():
    assert domain_cross_entropy(jnp.zeros(4), jnp.zeros(6)) == pytest.approx(2 * np.log(2))


def test_domain_cross_entropy_is_finite_for_large_logits():
    value = domain_cross_entropy(jnp.asarray([-500.0]), jnp.asarray([500.0]))
    assert value == pytest.approx(1000.0)


def test_weights_multiply_each_rows_loss(rng, x64):
    logits, weights = rng.normal(size=7), rng.uniform(size=7)
    signs = np.array([1] * 4 + [-1] * 3)
    losses = weights * np.log1p(np.exp(-signs * logits))
    actual = weighted_domain_cross_entropy(jnp.asarray(logits), jnp.asarray(weights), 4)
    assert actual == pytest.approx(losses[:4].mean() + losses[4:].mean(), rel=1e-12)


def test_randomised_map_keeps_inner_products_on_average(rng, x64):
    """The mean over 4000 draws of 50 projections is close to <f, f'> <g, g'>."""
    features, predictions = jnp.asarray(rng.normal(size=(2, 3))), jnp.asarray(rng.uniform(size=(2, 2)))
    exact = multilinear_map(features, predictions)

    def inner_products(key):
        keys = jax.random.split(key)
        maps = jax.random.normal(keys[0], (3, 50)), jax.random.normal(keys[1], (2, 50))
        products = randomised_multilinear_map(features, predictions, *maps)
        return products @ products.T

    mean = jax.vmap(inner_products)(jax.random.split(jax.random.key(0), 4000)).mean(axis=0)
    np.testing.assert_allclose(mean, exact @ exact.T, rtol=0.05)


def test_log_one_minus_probability_by_its_definition_and_for_large_logits(rng, x64):
    logits = rng.normal(size=(4, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = np.array([0, 2, 1, 1])
    actual = log_one_minus_probability(jnp.asarray(logits), jnp.asarray(classes))
    np.testing.assert_allclose(actual, np.log(1 - p[np.arange(4), classes]), rtol=1e-12)
    value, gradient = jax.value_and_grad(lambda z: log_one_minus_probability(z, jnp.asarray([0])).sum())(
        jnp.asarray([[1e4, 0.0, 0.0]])
    )
    assert value == pytest.approx(np.log(2) - 1e4)
    np.testing.assert_allclose(gradient, [[-1, 0.5, 0.5]], atol=1e-12)


def test_gradient_penalty_of_a_quadratic(x64):
    """The gradient of |x|^2 has norm 2 |x|: 10 at (3, 4) and 0 at the origin, so (9^2 + 1) / 2."""
    points = jnp.asarray([[3.0, 4.0], [0.0, 0.0]])
    assert gradient_penalty(lambda x: jnp.sum(x**2, axis=1), points) == pytest.approx(41)
