"""Parts of Inception-v3 and Xception, on small maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import MODELS, xception
from da_bench.models import inception_v3 as inception
from da_bench.models.inception_v3 import LIBRARIES, Mixed, Unit


def maps(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def test_average_pooling_at_the_border():
    """For maps of ones, torchvision gives 4 / 9 at a corner and 6 / 9 at an edge, Keras gives 1."""
    ones = jnp.ones((1, 3, 3, 1))
    ninths = jnp.asarray([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9
    for name, expected in (("torchvision", ninths), ("keras", jnp.ones((3, 3)))):
        np.testing.assert_allclose(inception.apply("average", ones, LIBRARIES[name], False)[0, :, :, 0], expected)


def test_units_side_by_side_are_concatenated_in_order(rng):
    inputs = maps(rng, 2, 5, 5, 3)
    block = ((Unit("a", 2, (1, 1)), (Unit("b", 3, (1, 3)), Unit("c", 4, (3, 1)))), ("maximum",))
    with pytest.raises(TypeError, match="shape"):  # the pooling halves the maps, the other branches do not
        Mixed(block, LIBRARIES["keras"]).init(jax.random.key(0), inputs, False)
    module = Mixed(block[:1], LIBRARIES["keras"])
    variables = module.init(jax.random.key(0), inputs, False)
    out = module.apply(variables, inputs, False)
    assert out.shape == (2, 5, 5, 7)
    assert set(variables["params"]) == {"a", "b", "c"}
    # Keras' initial batch normalisation divides by the root of 1.001; then a row's convolution by hand
    root = np.sqrt(1.001)
    first = np.maximum(np.asarray(inputs)[1, 2] @ variables["params"]["a"]["conv"]["kernel"][0, 0] / root, 0)
    rows, kernel = np.pad(first, ((1, 1), (0, 0))), variables["params"]["b"]["conv"]["kernel"][0]
    expected = [np.einsum("kc,kcf->f", rows[i : i + 3], kernel) for i in range(5)]
    np.testing.assert_allclose(out[1, 2, :, :3], np.maximum(np.array(expected) / root, 0), atol=1e-5)


@pytest.mark.parametrize(("side", "same"), [(5, True), (6, False)])
def test_pooling_differs_on_maps_of_even_size(side, same, rng):
    inputs = maps(rng, 1, side, side, 4)
    found = []
    for name in ("keras", "timm"):
        details = xception.LIBRARIES[name]._replace(epsilon=1e-3)
        module = xception.Residual((4,), True, False, details)
        found.append(module.apply(module.init(jax.random.key(0), inputs, False), inputs, False))
    assert found[0].shape == (1, 3, 3, 4)
    assert bool(jnp.allclose(*found, atol=1e-6)) == same


def test_a_separable_convolution_by_hand(rng):
    inputs = maps(rng, 2, 4, 4, 3)
    module = xception.Separable(5)
    params = module.init(jax.random.key(0), inputs)["params"]
    each, mixed = params["depthwise"]["kernel"][:, :, 0], params["pointwise"]["kernel"][0, 0]
    window = np.asarray(inputs)[1, 0:3, 1:4]  # around the second row and third column
    expected = (window * each).sum(axis=(0, 1)) @ mixed
    np.testing.assert_allclose(module.apply({"params": params}, inputs)[1, 1, 2], expected, atol=1e-5)


@pytest.mark.parametrize("begins_with_relu", [True, False])
def test_gradients_of_a_residual_block_reach_all_parameters(begins_with_relu, rng):
    inputs = maps(rng, 2, 6, 6, 4)
    module = xception.Residual((4, 4), False, begins_with_relu, xception.LIBRARIES["keras"])
    variables = module.init(jax.random.key(0), inputs, False)

    def total(params):
        out, _ = module.apply({**variables, "params": params}, inputs, True, mutable=["batch_stats"])
        return (out**2 * jnp.arange(4.0)[None, None, None]).sum()

    for gradient in jax.tree.leaves(jax.grad(total)(variables["params"])):
        assert float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize(("name", "least"), [("inception_v3", 75), ("xception", 71)])
def test_images_that_are_too_small_are_refused(name, least):
    model = MODELS[name](classes=2)
    with pytest.raises(ValueError, match=f"{least}x{least} pixels"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, least - 1, 90, 3)), False)
