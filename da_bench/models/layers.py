"""Layers whose CPU form is written as matrix products and copies, because XLA's CPU backend is slow at the stock form.

A stock convolution inside `lax.scan`, or under `vmap` over seeds (where it becomes a grouped convolution), is many
times slower on a CPU than the same sum written as one matrix product over patches. The same holds for the gradients of
convolution and pooling. Code compiled for a CPU uses the kernels of `_cpu_kernels`; every other backend uses the stock
operations. Tests hold the two equal.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from da_bench.core.types import Array
from da_bench.models import _cpu_kernels

LAYOUT = "NHWC", "HWIO", "NHWC"
INITIAL_STATISTICS = {"mean": jnp.zeros, "var": jnp.ones}


def _matmul_precision() -> Any:
    """The precision in force. The backward pass is traced later, so it is read now and passed on."""
    return jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


def _dot_general(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    return _cpu_kernels.matmul(x, kernel, _matmul_precision())


class Dense(nn.Dense):
    """Linear layer, as `nn.Dense`, computed by `_cpu_kernels.matmul`."""

    dot_general: Any = _dot_general


class Conv(nn.Module):
    """Convolution with a square kernel: [n, h, w, c] -> [n, h', w', features].

    Attributes:
        features: output channels.
        size: rows and columns of the kernel.
        padding: "VALID": none; "SAME": keeps the size for stride 1; or the number of zeros (before, after) rows and
            columns.
        stride: at most `size`; any for a 1x1 convolution.
        use_bias: whether a bias is added.
        kernel_init: initialiser of the kernel.
    """

    features: int
    size: int
    padding: str | tuple[int, int] = "VALID"
    stride: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve. Parameters as in `nn.Conv`: `kernel` [size, size, c, features] and `bias` [features]."""
        padded = _pad(inputs, self.padding, self.size)
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, inputs.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        padded, kernel, bias = nn.dtypes.promote_dtype(padded, kernel, bias)
        maps = convolve(padded, kernel, self.stride, _matmul_precision())
        return maps if bias is None else maps + bias[None, None, None]


class DepthwiseConv(nn.Module):
    """Convolution of every channel by itself, without bias: [n, h, w, c] -> [n, h', w', c].

    Attributes:
        size: rows and columns of the kernel.
        padding: as in `Conv`.
        stride: at most `size`.
        kernel_init: initialiser of the kernel.
    """

    size: int
    padding: str | tuple[int, int] = "VALID"
    stride: int = 1
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve. Parameter as in a grouped `nn.Conv`: `kernel` [size, size, 1, c]."""
        padded = _pad(inputs, self.padding, self.size)
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, 1, inputs.shape[-1]))
        padded, kernel = nn.dtypes.promote_dtype(padded, kernel)
        return depthwise_convolve(padded, kernel, self.stride)


def _pad(inputs: Array, padding: str | tuple[int, int], size: int) -> Array:
    """Surround the maps by zeros. ValueError if the kernel does not fit into the result."""
    if padding == "SAME":
        before, after = (size - 1) // 2, size // 2
    else:
        before, after = (0, 0) if isinstance(padding, str) else padding
    padded = jnp.pad(inputs, ((0, 0), (before, after), (before, after), (0, 0)))
    if min(padded.shape[1:3]) < size:
        raise ValueError(f"a {size}x{size} convolution does not fit into {inputs.shape[1]}x{inputs.shape[2]}")
    return padded


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last: scale (x - mean) / sqrt(variance + epsilon) + bias.

    Attributes:
        rate: fraction by which the running averages move towards the batch's statistics in a training step
            (PyTorch's momentum, 1 - Keras' momentum).
        epsilon: added to the variance.
        unbiased: whether the running average is of the variance over n - 1 (PyTorch) or over n (Keras). The batch
            itself is normalised by the variance over n in both.

    References: Ioffe and Szegedy, ICML 2015. arXiv:1502.03167, Algorithms 1 and 2.
    """

    rate: float = 0.1
    epsilon: float = 1e-5
    unbiased: bool = True

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[..., c] -> [..., c]; parameters `scale`, `bias` and statistics `mean`, `var`, all [c]."""
        shape = inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        averages = [self.variable("batch_stats", name, init, shape) for name, init in INITIAL_STATISTICS.items()]
        mean, variance = _mean_and_variance(inputs) if train else (average.value for average in averages)
        if train and not self.is_initializing():
            n = inputs.size // inputs.shape[-1]
            batch_statistics = mean, variance * (n / max(n - 1, 1) if self.unbiased else 1)
            for average, value in zip(averages, batch_statistics, strict=True):
                average.value += self.rate * (value - average.value)
        slope = scale * jax.lax.rsqrt(variance + self.epsilon)
        broadcast = (1,) * (inputs.ndim - 1) + shape
        normalised = (inputs - mean.reshape(broadcast)) * slope.reshape(broadcast) + bias.reshape(broadcast)
        return normalised.astype(inputs.dtype)


def _mean_and_variance(x: Array) -> tuple[Array, Array]:
    """Over all axes but the last, accumulated at least in float32."""
    axes = tuple(range(x.ndim - 1))
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = x.mean(axis=axes, keepdims=True)
    return mean.reshape(-1), jnp.square(x - mean).mean(axis=axes)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: Array, kernel: Array, stride: int = 1, precision: Any = None) -> Array:
    """Convolve without padding.

    Args:
        x: [n, h, w, c].
        kernel: [s, s, c, f].
        stride: at most s; any for s = 1.
        precision: of the products, as in `jnp.matmul`.

    Returns:
        [n, (h - s) // stride + 1, (w - s) // stride + 1, f].
    """
    forms = _cpu_kernels.convolve, _stock_convolve
    cpu, stock = (functools.partial(form, stride=stride, precision=precision) for form in forms)
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=stock)


def _convolve_forward(x: Array, kernel: Array, stride: int, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return convolve(x, kernel, stride, precision), (x, kernel)


def _convolve_backward(stride: int, precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    def stock(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        form = functools.partial(_stock_convolve, stride=stride, precision=precision)
        return jax.vjp(form, x, kernel)[1](gradient)

    cpu = functools.partial(_cpu_kernels.convolve_gradients, stride=stride, precision=precision)
    return jax.lax.platform_dependent(*saved, gradient, cpu=cpu, default=stock)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _stock_convolve(x: Array, kernel: Array, stride: int, precision: Any) -> Array:
    return jax.lax.conv_general_dilated(
        jnp.asarray(x), jnp.asarray(kernel), (stride, stride), "VALID", dimension_numbers=LAYOUT, precision=precision
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Convolve every channel by itself, without padding.

    Args:
        x: [n, h, w, c].
        kernel: [s, s, 1, c].
        stride: at most s.

    Returns:
        [n, (h - s) // stride + 1, (w - s) // stride + 1, c].
    """
    forms = _cpu_kernels.depthwise_convolve, _stock_depthwise_convolve
    cpu, stock = (functools.partial(form, stride=stride) for form in forms)
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=stock)


def _depthwise_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_convolve(x, kernel, stride), (x, kernel)


def _depthwise_backward(stride: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    def stock(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(_stock_depthwise_convolve, stride=stride), x, kernel)[1](gradient)

    cpu = functools.partial(_cpu_kernels.depthwise_convolve_gradients, stride=stride)
    return jax.lax.platform_dependent(*saved, gradient, cpu=cpu, default=stock)


depthwise_convolve.defvjp(_depthwise_forward, _depthwise_backward)


def _stock_depthwise_convolve(x: Array, kernel: Array, stride: int) -> Array:
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=LAYOUT, feature_group_count=x.shape[-1]
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: Array, size: int = 2, stride: int = 2) -> Array:
    """Maximum over square windows: [n, h, w, c] -> [n, h', w', c].

    Rows and columns that fill no window are dropped. The gradient goes to the first of equal maxima, as in other
    frameworks.

    Args:
        x: [n, h, w, c].
        size: rows and columns of a window.
        stride: rows and columns between windows.
    """
    forms = _cpu_kernels.max_pool, _stock_max_pool
    cpu, stock = (functools.partial(form, size=size, stride=stride) for form in forms)
    return jax.lax.platform_dependent(x, cpu=cpu, default=stock)


def _max_pool_forward(x: Array, size: int, stride: int) -> tuple[Array, tuple[Array, Array]]:
    cpu = functools.partial(_cpu_kernels.max_pool_argmax, size=size, stride=stride)

    def stock(x: Array) -> Array:  # the stock gradient does not use it
        return jnp.zeros(jax.eval_shape(cpu, x).shape, jnp.int8)

    return max_pool(x, size, stride), (x, jax.lax.platform_dependent(x, cpu=cpu, default=stock))


def _max_pool_backward(size: int, stride: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    def stock(x: Array, argmax: Array, gradient: Array) -> tuple[Array]:
        return jax.vjp(functools.partial(_stock_max_pool, size=size, stride=stride), x)[1](gradient)

    cpu = functools.partial(_cpu_kernels.max_pool_gradient, size=size, stride=stride)
    return jax.lax.platform_dependent(*saved, gradient, cpu=cpu, default=stock)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _stock_max_pool(x: Array, size: int, stride: int) -> Array:
    return nn.max_pool(x, (size, size), (stride, stride))


def pad_for_max_pool(x: Array, before: int, after: int) -> Array:
    """Surround maps [n, h, w, c] by minus infinity, which no maximum selects.

    Args:
        x: [n, h, w, c].
        before: rows and columns added at the top and left.
        after: rows and columns added at the bottom and right.

    Returns:
        [n, before + h + after, before + w + after, c].
    """
    border = (before, after)
    return jnp.pad(x, ((0, 0), border, border, (0, 0)), constant_values=-jnp.inf)
