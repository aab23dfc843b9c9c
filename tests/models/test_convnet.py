import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import MODELS
from da_bench.models.convnet import cut_patches
from tests.helpers.tiny import forward, initialise

MODEL = MODELS["convnet"](channels=(4, 5, 6, 7), width=8).clone(classes=3)


def outputs(rng, *shape):
    inputs = jnp.asarray(rng.normal(size=shape), jnp.float32)
    params, stats = initialise(MODEL, jax.random.key(0), inputs)
    return params, forward(MODEL, params, stats, inputs)[0]


@pytest.mark.conformance
@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 9, 31, 3), (2, 64, 64, 3), (2, 70, 65, 3)])
def test_images_of_any_size_are_accepted(shape, rng):
    params, output = outputs(rng, *shape)
    assert output.features.shape == (2, 8)
    assert output.logits.shape == (2, 3)
    np.testing.assert_allclose(MODEL.apply({"params": params}, output.features, method="classify"), output.logits)
    assert float(jnp.abs(output.logits[0] - output.logits[1]).max()) > 0


@pytest.mark.parametrize(("small", "large"), [(8, 32), (64, 96)])
def test_parameters_do_not_depend_on_the_size_below_or_above_64(small, large, rng):
    shapes = [jax.tree.map(jnp.shape, outputs(rng, 2, side, side, 3)[0]) for side in (small, large)]
    assert shapes[0] == shapes[1]


def test_mapping_patches_equals_a_strided_convolution(rng):
    inputs = jnp.asarray(rng.normal(size=(2, 9, 14, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(4, 4, 3, 5)), jnp.float32)
    strided = nn.Conv(5, (4, 4), strides=4, padding="VALID", use_bias=False).apply(
        {"params": {"kernel": kernel}}, inputs
    )
    np.testing.assert_allclose(cut_patches(inputs) @ kernel.reshape(48, 5), strided, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 7, 8, 3), (2, 20)])
def test_inputs_that_are_not_images_are_refused(shape, rng):
    with pytest.raises(ValueError, match="8x8 pixels"):
        outputs(rng, *shape)
