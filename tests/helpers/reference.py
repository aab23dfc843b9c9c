"""Run networks of da_bench with arrays of other libraries' networks, and compare the results."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from da_bench.core.trees import unflatten
from da_bench.models import forward

CLASSES = 7  # of the compared networks


def variables_from(model, arrays, convention):
    """(params, stats) of `model` from arrays by their names in a published file; all of them must be used."""
    remaining = dict(arrays)
    leaves = {
        published.path: jnp.asarray(published.convert(remaining.pop(published.name)))
        for published in model.published_arrays(convention)
    }
    assert not remaining, f"no part of the network: {sorted(remaining)}"
    stats = unflatten(leaves)
    return stats.pop("params"), stats


def relative_error(actual, expected, least=0.0):
    """Greatest difference, divided by the greatest expected value or by `least` if that is more."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), least)


def logits(model, params, stats, inputs):
    """Logits in evaluation mode, from images [n, h, w, 3]."""
    return np.asarray(jax.jit(lambda p, s, x: forward(model, p, s, x)[0].logits)(params, stats, inputs))


def loss_and_gradients(model, params, stats, inputs, labels):
    """Cross-entropy in training mode, its gradients, and the updated statistics."""

    def loss(params):
        output, updated = forward(model, params, stats, inputs, jax.random.key(0))
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), updated

    (value, updated), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return value, gradients, updated


def assert_trees_close(actual, expected, tolerance):
    """Compare every array of two trees by `relative_error`.

    Arrays much smaller than the largest are compared to 1e-6 of it: a bias that a later normalisation cancels has a
    gradient of rounding errors alone.
    """
    least = 1e-6 * max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected)) if expected else 0.0
    errors = jax.tree.map(lambda a, b: relative_error(a, b, least), actual, expected)
    by_path = {jax.tree_util.keystr(path): error for path, error in jax.tree_util.tree_leaves_with_path(errors)}
    worst = sorted(by_path.items(), key=lambda item: -item[1])[:5]
    assert all(error < tolerance for error in by_path.values()), worst


def random_images(rng, n, side):
    """Images [n, side, side, 3] float32 with structure at all scales; white noise would hide displacements."""
    noise = rng.normal(size=(n, side, side, 3))
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) * side] * 2))
    spectrum = np.fft.fft2(noise, axes=(1, 2)) / (1 + 8 * frequency)[..., None]
    smooth = np.fft.ifft2(spectrum, axes=(1, 2)).real
    return (smooth / smooth.std()).astype(np.float32)
