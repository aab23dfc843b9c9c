"""Arrays from the networks of other libraries into ours, and how near two answers are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from da_bench.models import forward

LABELS = 7  # classes of the compared networks


def ours(model, named, convention):
    """(params, stats) of `model` from arrays by the names of a published file, none missing and none left."""
    tree, left = {}, dict(named)
    for one in model.published_arrays(convention):
        *place, last = one.path
        branch = tree
        for step in place:
            branch = branch.setdefault(step, {})
        branch[last] = jnp.asarray(one.convert(left.pop(one.name)))
    assert not left, f"not ours: {sorted(left)}"
    return tree.pop("params"), tree


def relative(found, expected, least=0.0):
    """Greatest difference, of the greatest value, or of `least` if that is more."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / max(np.abs(expected).max(), least)


def logits(model, params, stats, inputs):
    """In evaluation, from images [n, h, w, 3]."""
    return np.asarray(jax.jit(lambda p, s, x: forward(model, p, s, x)[0].logits)(params, stats, inputs))


def gradients(model, params, stats, inputs, labels):
    """(loss, gradients, statistics) of one step of training on the cross-entropy."""

    def loss(params):
        output, updated = forward(model, params, stats, inputs, jax.random.key(0))
        return optax.softmax_cross_entropy_with_integer_labels(output.logits, labels).mean(), updated

    (value, updated), found = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    return value, found, updated


def compare(found, expected, tolerance):
    """Every array of two trees, to its own scale; where a later layer takes a shift out, there is only rounding."""
    least = 1e-6 * max(np.abs(one).max() for one in jax.tree.leaves(expected)) if expected else 0.0
    far = jax.tree.map(lambda one, other: relative(one, other, least), found, expected)
    worst = {jax.tree_util.keystr(path): one for path, one in jax.tree_util.tree_leaves_with_path(far)}
    assert all(one < tolerance for one in worst.values()), sorted(worst.items(), key=lambda item: -item[1])[:5]


def random_images(rng, n, side):
    """[n, side, side, 3] float32 with structure of all sizes, as white noise hides what is misplaced."""
    noise = rng.normal(size=(n, side, side, 3))
    waves = (
        np.fft.fft2(noise, axes=(1, 2))
        / (1 + 8 * np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) * side] * 2)))[..., None]
    )
    smooth = np.fft.ifft2(waves, axes=(1, 2)).real
    return (smooth / smooth.std()).astype(np.float32)
