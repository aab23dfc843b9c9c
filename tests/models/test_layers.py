import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models.layers import Conv, Dense, max_pool


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_equals_the_stock_one_with_its_gradients(padding, size, rng, x64):
    inputs = jnp.asarray(rng.normal(size=(2, 9, 7, 3)))
    ours, stock = Conv(4, size, padding), nn.Conv(4, (size, size), padding=padding, param_dtype=jnp.float64)
    kernel = jnp.asarray(rng.normal(size=(size, size, 3, 4)))
    bias = jnp.asarray(rng.normal(size=4))

    def through_ours(kernel, inputs):
        params = {"patches": {"kernel": kernel.reshape(-1, 4), "bias": bias}}
        return ours.apply({"params": params}, inputs)

    def through_stock(kernel, inputs):
        return stock.apply({"params": {"kernel": kernel, "bias": bias}}, inputs)

    # ours stacks the patch columns slowest, the stock kernel the rows
    turned = kernel.swapaxes(0, 1)
    np.testing.assert_allclose(through_ours(turned, inputs), through_stock(kernel, inputs), rtol=1e-12, atol=1e-12)
    of_ours = jax.grad(lambda x: jnp.sum(through_ours(turned, x) ** 2))(inputs)
    of_stock = jax.grad(lambda x: jnp.sum(through_stock(kernel, x) ** 2))(inputs)
    np.testing.assert_allclose(of_ours, of_stock, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 7, 5, 3)])
def test_pooling_equals_the_stock_one(shape, rng):
    inputs = jnp.asarray(rng.normal(size=shape), jnp.float32)
    np.testing.assert_array_equal(max_pool(inputs), nn.max_pool(inputs, (2, 2), (2, 2)))


def test_dense_is_the_stock_layer_and_so_is_its_gradient(x64, rng):
    inputs, weights = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2))
    params = {"params": {"kernel": rng.standard_normal((5, 2)), "bias": rng.standard_normal(2)}}

    def loss(layer):
        return jax.value_and_grad(lambda p, x: (jnp.sin(layer(2).apply(p, x)) * weights).sum(), argnums=(0, 1))

    for ours, stock in zip(*(jax.tree.leaves(loss(x)(params, inputs)) for x in (Dense, nn.Dense)), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-12)
