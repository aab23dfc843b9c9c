import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.adversarial import domain_cross_entropy, ramp, reverse_gradient


def test_reversal_is_the_identity_forward_and_minus_weight_backward(rng, x64):
    x = jnp.asarray(rng.normal(size=(3, 2)))
    assert (reverse_gradient(x, 0.7) == x).all()
    straight = jax.grad(lambda x: jnp.sum(x**3))(x)
    reversed_ = jax.grad(lambda x: jnp.sum(reverse_gradient(x, 0.7) ** 3))(x)
    np.testing.assert_allclose(reversed_, -0.7 * straight, rtol=1e-15)


def test_reversal_gives_its_weight_no_gradient():
    assert jax.grad(lambda w: jnp.sum(reverse_gradient(jnp.ones(3), w)))(2.0) == 0


def test_domain_cross_entropy_by_its_definition(rng, x64):
    source, target = rng.normal(size=5), rng.normal(size=3)
    from_source, from_target = 1 / (1 + np.exp(-source)), 1 / (1 + np.exp(-target))
    expected = -np.log(from_source).mean() - np.log(1 - from_target).mean()
    assert domain_cross_entropy(jnp.asarray(source), jnp.asarray(target)) == pytest.approx(expected, rel=1e-12)


def test_domain_cross_entropy_of_an_undecided_classifier_is_two_log_two():
    assert domain_cross_entropy(jnp.zeros(4), jnp.zeros(6)) == pytest.approx(2 * np.log(2))


def test_domain_cross_entropy_stays_finite_far_out():
    value = domain_cross_entropy(jnp.asarray([-500.0]), jnp.asarray([500.0]))
    assert value == pytest.approx(1000.0)


def test_ramp_starts_at_zero_and_has_the_papers_values(x64):
    """tanh(5 p): 0, tanh(2.5) = 0.98661..., tanh(5) = 0.99990920..., from a table of the hyperbolic tangent."""
    assert ramp(jnp.asarray(0.0)) == 0
    assert ramp(jnp.asarray(0.5)) == pytest.approx(0.986614298151430, abs=1e-12)
    assert ramp(jnp.asarray(1.0)) == pytest.approx(0.999909204262595, abs=1e-12)
