import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.entropy import conditional_entropy, row_entropies


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_entropies_by_their_definition(rng, x64):
    logits = rng.normal(size=(5, 4))
    expected = [-sum(p * np.log(p) for p in row) for row in softmax(logits)]
    np.testing.assert_allclose(row_entropies(jnp.asarray(logits)), expected, rtol=1e-12)
    assert conditional_entropy(jnp.asarray(logits)) == pytest.approx(np.mean(expected), rel=1e-12)


def test_undecided_is_log_c_and_certain_is_zero(x64):
    np.testing.assert_allclose(row_entropies(jnp.zeros((2, 3))), np.log(3), rtol=1e-14)
    value, gradient = jax.value_and_grad(conditional_entropy)(jnp.asarray([[1e4, 0.0, -1e4]]))
    assert value == 0
    assert (gradient == 0).all()
