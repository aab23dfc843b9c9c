import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models.layers import Conv, Dense, convolve, max_pool
from da_bench.models.lenet import Lenet


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_convolution_is_the_stock_layer_and_so_are_its_gradients(padding, size, rng, x64):
    inputs, weights = jnp.asarray(rng.normal(size=(2, 9, 7, 3))), rng.normal(size=(9, 7))
    layers = Conv(4, size, padding), nn.Conv(4, (size, size), padding=padding, param_dtype=jnp.float64)
    params = {"kernel": rng.normal(size=(size, size, 3, 4)), "bias": rng.normal(size=4)}

    def loss(layer, params, inputs):
        maps = layer.apply({"params": params}, inputs)
        return (jnp.sin(maps) * weights[None, : maps.shape[1], : maps.shape[2], None]).sum()

    found = [jax.value_and_grad(loss, argnums=(1, 2))(layer, params, inputs) for layer in layers]
    for ours, stock in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-10, atol=1e-10)


def test_convolution_starts_from_the_parameters_of_the_stock_layer():
    inputs, key = jnp.ones((1, 6, 6, 3)), jax.random.key(0)
    ours, stock = (layer.init(key, inputs) for layer in (Conv(4, 3), nn.Conv(4, (3, 3), padding="VALID")))
    jax.tree.map(np.testing.assert_array_equal, ours, stock)


def test_a_kernel_larger_than_the_maps_is_refused():
    with pytest.raises(ValueError, match="a 5x5 convolution does not fit into 4x9"):
        Conv(4, 5).init(jax.random.key(0), jnp.ones((1, 4, 9, 3)))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 7, 5, 3)])
def test_pooling_is_the_stock_one_and_so_is_its_gradient_even_where_maxima_are_equal(shape, rng):
    inputs = jnp.asarray(rng.integers(3, size=shape), jnp.float32)
    weights = rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3]))

    def loss(pool):
        return jax.value_and_grad(lambda x: (pool(x) * weights).sum())(inputs)

    for ours, stock in zip(loss(max_pool), loss(lambda x: nn.max_pool(x, (2, 2), (2, 2))), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "stock_operation"),
    [(lambda x: convolve(x, jnp.ones((3, 3, 2, 4))), "stablehlo.convolution"), (max_pool, "stablehlo.reduce_window")],
)
def test_the_fast_forms_are_for_cpus_only(layer, stock_operation):
    def lowered(platform):
        differentiated = jax.jit(jax.value_and_grad(lambda x: layer(x).sum()))
        return differentiated.trace(jnp.ones((1, 6, 6, 2))).lower(lowering_platforms=(platform,)).as_text()

    assert stock_operation in lowered("cuda")
    assert stock_operation in lowered("tpu")
    assert stock_operation not in lowered("cpu")


def test_single_precision_of_a_whole_network_is_that_of_the_stock_layers(rng):
    inputs = jnp.asarray(rng.normal(size=(8, 28, 28, 1)), jnp.float32)
    model = Lenet(classes=10)
    params = model.init(jax.random.key(0), inputs, False)["params"]

    def stock(params):
        maps = inputs
        for name in ("convolutions_0", "convolutions_1"):
            maps = nn.Conv(params[name]["bias"].size, (5, 5), padding="VALID").apply({"params": params[name]}, maps)
            maps = nn.max_pool(nn.relu(maps), (2, 2), (2, 2))
        features = nn.relu(nn.Dense(500).apply({"params": params["bottleneck"]}, maps.reshape(8, -1)))
        return nn.Dense(10).apply({"params": params["head"]}, features)

    def loss(forward):
        return jax.value_and_grad(lambda p: jnp.sin(forward(p)).sum())(params)

    ours, expected = loss(lambda p: model.apply({"params": p}, inputs, True).logits), loss(stock)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)


def test_dense_is_the_stock_layer_and_so_is_its_gradient(x64, rng):
    inputs, weights = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2))
    params = {"params": {"kernel": rng.standard_normal((5, 2)), "bias": rng.standard_normal(2)}}

    def loss(layer):
        return jax.value_and_grad(lambda p, x: (jnp.sin(layer(2).apply(p, x)) * weights).sum(), argnums=(0, 1))

    for ours, stock in zip(*(jax.tree.leaves(loss(x)(params, inputs)) for x in (Dense, nn.Dense)), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-12)
