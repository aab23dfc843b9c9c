import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.losses.entropy import class_confusion, conditional_entropy, kl_divergence, row_entropies


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_entropies_by_their_definition(rng, x64):
    logits = rng.normal(size=(5, 4))
    expected = [-sum(p * np.log(p) for p in row) for row in softmax(logits)]
    np.testing.assert_allclose(row_entropies(jnp.asarray(logits)), expected, rtol=1e-12)
    assert conditional_entropy(jnp.asarray(logits)) == pytest.approx(np.mean(expected), rel=1e-12)


def test_entropy_of_uniform_rows_is_log_c_and_of_certain_rows_zero(x64):
    np.testing.assert_allclose(row_entropies(jnp.zeros((2, 3))), np.log(3), rtol=1e-14)
    value, gradient = jax.value_and_grad(conditional_entropy)(jnp.asarray([[1e4, 0.0, -1e4]]))
    assert value == 0
    assert (gradient == 0).all()


def confusion_by_loops(logits, temperature):
    y = softmax(logits / temperature)
    n, c = y.shape
    certainty = [1 + np.exp(sum(p * np.log(p) for p in row)) for row in y]
    w = n * np.array(certainty) / sum(certainty)
    shared = [[sum(w[i] * y[i, j] * y[i, k] for i in range(n)) for k in range(c)] for j in range(c)]
    return sum(shared[j][k] / sum(shared[j]) for j in range(c) for k in range(c) if j != k) / c, w


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_class_confusion_by_its_definition(temperature, rng, x64):
    logits = 2 * rng.normal(size=(6, 4))
    expected, _ = confusion_by_loops(logits, temperature)
    assert class_confusion(jnp.asarray(logits), temperature) == pytest.approx(expected, rel=1e-12)


def test_class_confusion_has_no_gradient_through_its_weights(rng, x64):
    """Compare with finite differences of the definition in which the weights are fixed."""
    logits = rng.normal(size=(5, 3))
    _, w = confusion_by_loops(logits, 1.0)

    def with_fixed_weights(logits):
        shared = softmax(logits).T @ (w[:, None] * softmax(logits))
        return 1 - np.trace(shared / shared.sum(axis=1, keepdims=True)) / 3

    nudge = np.zeros_like(logits)
    nudge[2, 1] = 1e-6
    expected = (with_fixed_weights(logits + nudge) - with_fixed_weights(logits - nudge)) / 2e-6
    assert jax.grad(class_confusion)(jnp.asarray(logits), 1.0)[2, 1] == pytest.approx(expected, rel=1e-6)


def test_class_confusion_of_certain_rows_is_zero_and_of_uniform_rows_two_thirds(x64):
    """Uniform rows: 2/3 of every class is confused with the two others."""
    assert class_confusion(1e4 * jnp.eye(3), 1.0) == 0
    assert class_confusion(jnp.zeros((4, 3)), 1.0) == pytest.approx(2 / 3)


@pytest.mark.parametrize("logits", [[[1e4, 0.0, -1e4]], [[60.0, 0.0, -60.0], [60.0, 1.0, -60.0]]])
def test_class_confusion_is_finite_if_a_class_is_missing(logits):
    value, gradient = jax.value_and_grad(class_confusion)(jnp.asarray(logits), 1.0)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


def test_kl_divergence_has_no_gradient_for_its_first_argument(rng, x64):
    fixed, logits = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    p, q = softmax(fixed), softmax(logits)
    assert kl_divergence(jnp.asarray(fixed), jnp.asarray(logits)) == pytest.approx(
        np.mean([sum(a * np.log(a / b) for a, b in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)])
    )
    of_fixed, of_logits = jax.grad(kl_divergence, (0, 1))(jnp.asarray(fixed), jnp.asarray(logits))
    assert (of_fixed == 0).all()
    np.testing.assert_allclose(of_logits, (q - p) / 5, atol=1e-12)
