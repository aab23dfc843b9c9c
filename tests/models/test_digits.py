"""Networks of papers on digits: parameters counted by hand, training mode and evaluation mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import AdaDigits, GaninMnist, ShotLenet
from tests.helpers.tiny import forward, initialise

KERNEL = 25  # weights of a 5x5 kernel
COUNTED = [
    (GaninMnist, (28, 28, 3), 768, 3 * KERNEL * 32 + 32 + 32 * KERNEL * 48 + 48 + 768 * 100 + 100 + 10_100 + 1_010),
    (GaninMnist, (32, 32, 3), 1200, 3 * KERNEL * 32 + 32 + 32 * KERNEL * 48 + 48 + 1200 * 100 + 100 + 10_100 + 1_010),
    # weight normalisation has a scale for each class
    (ShotLenet, (28, 28, 1), 256, KERNEL * 20 + 20 + 20 * KERNEL * 50 + 50 + 800 * 256 + 256 + 2 * 256 + 2_570 + 10),
    (
        AdaDigits,
        (32, 32, 3),
        128,
        3 * KERNEL * 64
        + 64
        + 64 * KERNEL * 64
        + 64
        + 64 * KERNEL * 128
        + 128
        + 2 * 256
        + 12_900
        + 10_100
        + 400
        + 1_010,
    ),
]


@pytest.mark.parametrize(("network", "shape", "width", "count"), COUNTED)
def test_features_parameters_and_classifier(network, shape, width, count):
    model, inputs = network(classes=10), jax.random.normal(jax.random.key(1), (3, *shape))
    params, stats = initialise(model, jax.random.key(0), inputs)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count
    output, _ = forward(model, params, stats, inputs)
    assert output.features.shape == (3, width)
    again = model.apply({"params": params, **stats}, output.features, method="classify")
    np.testing.assert_allclose(again, output.logits, rtol=1e-5, atol=1e-6)
    assert float(jnp.abs(output.logits[0] - output.logits[1]).max()) > 0


def test_ganins_network_crops_the_centre_and_subtracts_the_mean():
    whole = jax.random.uniform(jax.random.key(1), (3, 33, 32, 1))
    plain, seen = GaninMnist(classes=10), GaninMnist(classes=10, pixels=28, mean=0.3)
    params, stats = initialise(plain, jax.random.key(0), whole[:, 2:30, 2:30])
    expected, _ = forward(plain, params, stats, whole[:, 2:30, 2:30] - np.float32(0.3))
    np.testing.assert_array_equal(forward(seen, params, stats, whole)[0].logits, expected.logits)
    with pytest.raises(ValueError, match=r"pixels = 28.*27x32"):
        initialise(seen, jax.random.key(0), whole[:, :27])


@pytest.mark.parametrize("network", [ShotLenet, AdaDigits])
def test_training_mode_drops_out_and_moves_every_average(network):
    shape = next(shape for other, shape, *_ in COUNTED if other is network)
    model, inputs = network(classes=10), jax.random.normal(jax.random.key(1), (4, *shape))
    params, stats = initialise(model, jax.random.key(0), inputs)
    one, moved = forward(model, params, stats, inputs, jax.random.key(2))
    other, _ = forward(model, params, stats, inputs, jax.random.key(3))
    assert float(jnp.abs(one.logits - other.logits).max()) > 0
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), stats, moved)))


def test_weight_normalisation_scales_each_class():
    model, inputs = ShotLenet(classes=3), jnp.ones((1, 28, 28, 1))
    params, _ = initialise(model, jax.random.key(0), inputs)
    features = jax.random.normal(jax.random.key(1), (5, 256))
    (direction, bias), scale = (params["head"]["layer_instance"][name] for name in ("kernel", "bias")), 2.0
    params["head"] = {**params["head"], "layer_instance/kernel/scale": jnp.full(3, scale)}
    expected = scale * features @ (direction / jnp.linalg.norm(direction, axis=0, keepdims=True)) + bias[None]
    found = model.apply({"params": params}, features, method="classify")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
