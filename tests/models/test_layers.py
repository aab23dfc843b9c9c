import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from da_bench.models import _cpu_kernels
from da_bench.models.layers import BatchNorm, Conv, Dense, DepthwiseConv, convolve, max_pool, pad_for_max_pool
from da_bench.models.lenet import Lenet


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_convolution_and_its_gradients_equal_the_stock_layer(padding, size, rng, x64):
    inputs, weights = jnp.asarray(rng.normal(size=(2, 9, 7, 3))), rng.normal(size=(9, 7))
    layers = Conv(4, size, padding), nn.Conv(4, (size, size), padding=padding, param_dtype=jnp.float64)
    params = {"kernel": rng.normal(size=(size, size, 3, 4)), "bias": rng.normal(size=4)}

    def loss(layer, params, inputs):
        maps = layer.apply({"params": params}, inputs)
        return (jnp.sin(maps) * weights[None, : maps.shape[1], : maps.shape[2], None]).sum()

    value_and_grad = jax.jit(jax.value_and_grad(loss, argnums=(1, 2)), static_argnums=0)
    results = [value_and_grad(layer, params, inputs) for layer in layers]
    for ours, stock in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-10, atol=1e-10)


def assert_equal_gradients(ours, stock, *arguments):
    """Compare values and gradients of two losses of the same arguments."""
    results = [jax.jit(jax.value_and_grad(loss, argnums=range(len(arguments))))(*arguments) for loss in (ours, stock)]
    for actual, reference in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(actual, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("size", "stride", "largest"), [(3, 1, 0), (3, 2, 0), (3, 2, 10**9), (7, 2, 0), (1, 2, 0)])
def test_strided_convolution_equals_the_stock_layer_in_both_forms(size, stride, largest, rng, x64, monkeypatch):
    monkeypatch.setattr(_cpu_kernels, "LARGE_IMAGE", largest)
    inputs, kernel = jnp.asarray(rng.normal(size=(2, 10, 9, 3))), jnp.asarray(rng.normal(size=(size, size, 3, 4)))
    stock = nn.Conv(4, (size, size), stride, padding=((0, 1), (0, 1)), use_bias=False)
    ours = Conv(4, size, (0, 1), stride, use_bias=False)

    def loss(layer):
        return lambda x, k: jnp.sin(layer.apply({"params": {"kernel": k}}, x)).sum()

    assert_equal_gradients(loss(ours), loss(stock), inputs, kernel)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_equals_the_grouped_stock_layer(stride, rng, x64):
    inputs, kernel = jnp.asarray(rng.normal(size=(2, 10, 9, 3))), jnp.asarray(rng.normal(size=(3, 3, 1, 3)))
    stock = nn.Conv(3, (3, 3), stride, padding=((1, 1), (1, 1)), use_bias=False, feature_group_count=3)

    def loss(layer):
        return lambda x, k: jnp.sin(layer.apply({"params": {"kernel": k}}, x)).sum()

    assert_equal_gradients(loss(DepthwiseConv(3, (1, 1), stride)), loss(stock), inputs, kernel)


def test_convolution_draws_the_parameters_of_the_stock_layer():
    inputs, key = jnp.ones((1, 6, 6, 3)), jax.random.key(0)
    ours, stock = (layer.init(key, inputs) for layer in (Conv(4, 3), nn.Conv(4, (3, 3), padding="VALID")))
    jax.tree.map(np.testing.assert_array_equal, ours, stock)


def test_a_kernel_larger_than_the_maps_is_refused():
    with pytest.raises(ValueError, match="a 5x5 convolution does not fit into 4x9"):
        Conv(4, 5).init(jax.random.key(0), jnp.ones((1, 4, 9, 3)))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 7, 5, 3)])
def test_pooling_and_its_gradient_equal_the_stock_layer_even_for_equal_maxima(shape, rng):
    inputs = jnp.asarray(rng.integers(3, size=shape), jnp.float32)
    weights = rng.normal(size=(shape[0], shape[1] // 2, shape[2] // 2, shape[3]))

    def loss(pool):
        return jax.jit(jax.value_and_grad(lambda x: (pool(x) * weights).sum()))(inputs)

    for ours, stock in zip(loss(max_pool), loss(lambda x: nn.max_pool(x, (2, 2), (2, 2))), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-6)


@pytest.mark.parametrize("largest", [0, 10**9])
@pytest.mark.parametrize("side", [8, 9])
def test_overlapping_pooling_equals_the_stock_layer(side, largest, rng, monkeypatch):
    monkeypatch.setattr(_cpu_kernels, "LARGE_IMAGE", largest)
    inputs = jnp.asarray(rng.integers(5, size=(2, side, side, 3)), jnp.float32)

    def loss(pool):
        return lambda x: jnp.sin(pool(x)).sum()

    border = ((1, 1), (1, 1))
    ours, stock = (
        (lambda x: max_pool(pad_for_max_pool(x, 1, 1), 3, 2)),
        (lambda x: nn.max_pool(x, (3, 3), (2, 2), border)),
    )
    results = [jax.jit(jax.value_and_grad(loss(pool)))(inputs) for pool in (ours, stock)]
    for actual, reference in zip(*results, strict=True):
        np.testing.assert_allclose(actual, reference, rtol=1e-5, atol=1e-5)


def test_batch_normalisation_by_hand():
    inputs = jnp.asarray([[1.0], [3.0], [8.0]])  # mean 4, variance 26 / 3 over n, 13 over n - 1
    start = {"params": {"scale": jnp.asarray([2.0]), "bias": jnp.asarray([0.5])}}
    start["batch_stats"] = {"mean": jnp.asarray([1.0]), "var": jnp.asarray([2.0])}
    for unbiased, variance in ((True, 13), (False, 26 / 3)):
        layer = BatchNorm(rate=0.25, epsilon=1 / 3, unbiased=unbiased)
        results, updated = layer.apply(start, inputs, True, mutable=["batch_stats"])
        np.testing.assert_allclose(results[:, 0], 2 * np.array([-3, -1, 4]) / 3 + 0.5, rtol=1e-6)
        np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.75 + 0.25 * 4)
        np.testing.assert_allclose(updated["batch_stats"]["var"], 1.5 + 0.25 * variance, rtol=1e-6)
    evaluated = BatchNorm(epsilon=2.0).apply(start, inputs, False)
    np.testing.assert_allclose(evaluated[:, 0], np.array([0, 2, 7]) + 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "stock_operation"),
    [(lambda x: convolve(x, jnp.ones((3, 3, 2, 4))), "stablehlo.convolution"), (max_pool, "stablehlo.reduce_window")],
)
def test_cpu_kernels_are_used_on_cpus_only(layer, stock_operation):
    def lowered(platform):
        differentiated = jax.jit(jax.value_and_grad(lambda x: layer(x).sum()))
        return differentiated.trace(jnp.ones((1, 6, 6, 2))).lower(lowering_platforms=(platform,)).as_text()

    assert stock_operation in lowered("cuda")
    assert stock_operation in lowered("tpu")
    assert stock_operation not in lowered("cpu")


def test_a_network_in_single_precision_equals_stock_layers(rng):
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
        return jax.jit(jax.value_and_grad(lambda p: jnp.sin(forward(p)).sum()))(params)

    ours, expected = loss(lambda p: model.apply({"params": p}, inputs, True).logits), loss(stock)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)


def test_dense_and_its_gradient_equal_the_stock_layer(x64, rng):
    inputs, weights = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 2))
    params = {"params": {"kernel": rng.standard_normal((5, 2)), "bias": rng.standard_normal(2)}}

    def loss(layer):
        return jax.jit(jax.value_and_grad(lambda p, x: (jnp.sin(layer(2).apply(p, x)) * weights).sum(), argnums=(0, 1)))

    for ours, stock in zip(*(jax.tree.leaves(loss(x)(params, inputs)) for x in (Dense, nn.Dense)), strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-12)
