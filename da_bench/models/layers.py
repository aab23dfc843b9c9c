"""Layers that XLA's CPU backend runs slowly in their stock form, written as matrix products and copies.

A stock convolution inside `lax.scan`, or under `vmap` over seeds (where it turns into a grouped one), is many times
slower on a CPU than the same sum as one matrix product over patches; so are the gradients of both it and pooling.
What is compiled for a CPU takes the fast forms below, any other backend the stock ones; tests hold them equal.

The fast forms of small convolutions see maps as [channels, height, width, rows]: copies then run over whole rows of
images at least. The transpositions between two layers cancel, so that maps stay so from the first layer to the last.
Where the patches of one image are more than LARGE numbers, copying them costs more than the product: XLA's own
forward convolution is two to four times as fast then, near the machine's peak even in a loop. Its gradients are not,
and are written as forward convolutions of stride 1 and as products. Convolutions of each channel by itself are sums of
shifted maps. Maps stay as [rows, height, width, channels] there.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from da_bench.core.types import Array

LARGE = 2**17  # numbers of one image


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(x: Array, kernel: Array, precision: Any = None) -> Array:
    """[..., d] times [d, k] -> [..., k], with the gradient of the kernel laid out as the kernel.

    JAX's own rule makes that gradient as [k, d], and XLA then reads it column by column while it updates the kernel,
    which on a CPU takes longer than all the rest of a small step.
    """
    return jnp.matmul(x, kernel, precision=precision)


def _forward(x: Array, kernel: Array, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return matmul(x, kernel, precision), (x, kernel)


def _backward(precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    of_x = jnp.tensordot(gradient, kernel, ((-1,), (1,)), precision=precision)
    rows, gradients = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    return of_x, jax.lax.dot_general(rows, gradients, (((0,), (0,)), ((), ())), precision=precision)


matmul.defvjp(_forward, _backward)


def _product(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    # the precision that holds here must hold in the backward pass, which is traced later
    return matmul(x, kernel, jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]


class Dense(nn.Dense):
    """The stock linear layer, by `product`."""

    dot_general: Any = _product


class Conv(nn.Module):
    """Square convolution: [n, h, w, c] -> [n, h', w', features].

    padding: "VALID", none; "SAME", for stride 1; or zeros (before, after) rows and columns. stride: at
    most `size`, or any of a 1x1 convolution.
    """

    features: int
    size: int
    padding: str | tuple[int, int] = "VALID"
    stride: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve; parameters as of `nn.Conv`: `kernel` [size, size, c, features] and `bias` [features]."""
        before, after = _zeros(self.padding, self.size)
        padded = jnp.pad(inputs, ((0, 0), (before, after), (before, after), (0, 0)))
        _check_fits(padded, inputs, self.size)
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, inputs.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        padded, kernel, bias = nn.dtypes.promote_dtype(padded, kernel, bias)
        maps = convolve(padded, kernel, self.stride, _precision())
        return maps if bias is None else maps + bias[None, None, None]


class DepthwiseConv(nn.Module):
    """Square convolution of each channel by itself, no bias: [n, h, w, c] -> [n, h', w', c]; padding as of `Conv`."""

    size: int
    padding: str | tuple[int, int] = "VALID"
    stride: int = 1
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve; parameter as of a grouped `nn.Conv`: `kernel` [size, size, 1, c]."""
        before, after = _zeros(self.padding, self.size)
        padded = jnp.pad(inputs, ((0, 0), (before, after), (before, after), (0, 0)))
        _check_fits(padded, inputs, self.size)
        kernel = self.param("kernel", self.kernel_init, (self.size, self.size, 1, inputs.shape[-1]))
        padded, kernel = nn.dtypes.promote_dtype(padded, kernel)
        return depthwise_convolve(padded, kernel, self.stride)


def _zeros(padding: str | tuple[int, int], size: int) -> tuple[int, int]:
    if padding == "SAME":
        return (size - 1) // 2, size // 2
    return (0, 0) if isinstance(padding, str) else padding


def _check_fits(padded: Array, inputs: Array, size: int) -> None:
    if min(padded.shape[1:3]) < size:
        raise ValueError(f"a {size}x{size} convolution does not fit into {inputs.shape[1]}x{inputs.shape[2]}")


def _precision() -> Any:
    return jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last: scale (x - mean) / sqrt(variance + epsilon) + bias.

    The running averages move by `rate` of the way to the batch's in a training step (PyTorch's momentum, 1 - Keras').
    unbiased: the running average is that of the variance over n - 1, as in PyTorch; False: over n, as in Keras. The
    batch itself is normalised by that over n in both.
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
        averages = [self.variable("batch_stats", name, fill, shape) for name, fill in MOMENTS.items()]
        mean, variance = _moments(inputs) if train else (average.value for average in averages)
        if train and not self.is_initializing():
            n = inputs.size // inputs.shape[-1]
            now = mean, variance * (n / max(n - 1, 1) if self.unbiased else 1)
            for average, value in zip(averages, now, strict=True):
                average.value += self.rate * (value - average.value)
        slope = scale * jax.lax.rsqrt(variance + self.epsilon)
        along = (1,) * (inputs.ndim - 1) + shape
        normalised = (inputs - mean.reshape(along)) * slope.reshape(along) + bias.reshape(along)
        return normalised.astype(inputs.dtype)


MOMENTS = {"mean": jnp.zeros, "var": jnp.ones}


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance over all axes but the last, summed in float32 at least."""
    rows = tuple(range(x.ndim - 1))
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = x.mean(axis=rows, keepdims=True)
    return mean.reshape(-1), jnp.square(x - mean).mean(axis=rows)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(x: Array, kernel: Array, stride: int = 1, precision: Any = None) -> Array:
    """[n, h, w, c] by [s, s, c, f] -> [n, (h - s) // stride + 1, (w - s) // stride + 1, f]."""
    forms = _fast_convolve, _stock_convolve
    fast, stock = (functools.partial(form, stride=stride, precision=precision) for form in forms)
    return jax.lax.platform_dependent(x, kernel, cpu=fast, default=stock)


def _convolve_forward(x: Array, kernel: Array, stride: int, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return convolve(x, kernel, stride, precision), (x, kernel)


def _convolve_backward(stride: int, precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    def stock(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        form = functools.partial(_stock_convolve, stride=stride, precision=precision)
        return jax.vjp(form, x, kernel)[1](gradient)

    fast = functools.partial(_fast_convolve_gradients, stride=stride, precision=precision)
    return jax.lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _stock_convolve(x: Array, kernel: Array, stride: int, precision: Any) -> Array:
    layout = "NHWC", "HWIO", "NHWC"
    return jax.lax.conv_general_dilated(
        jnp.asarray(x), jnp.asarray(kernel), (stride, stride), "VALID", dimension_numbers=layout, precision=precision
    )


def _fast_convolve(x: Array, kernel: Array, stride: int, precision: Any) -> Array:
    if len(kernel) == 1:
        return matmul(x[:, ::stride, ::stride], kernel[0, 0], precision)
    if _is_large(x, kernel, stride):
        return _stock_convolve(x, kernel, stride, precision)
    patches, weights = _patches(_rows_last(x), len(kernel), stride), kernel.reshape(-1, kernel.shape[-1])
    # XLA would undo the transposition, and the product with a transposed matrix is slower
    maps = jnp.matmul(jax.lax.optimization_barrier(weights.T), _columns(patches), precision=precision)
    return _rows_first(maps.reshape(-1, *patches.shape[3:]))


def _is_large(x: Array, kernel: Array, stride: int) -> bool:
    """Whether the patches of one image are too many to be copied for the product."""
    height, width = ((side - len(kernel)) // stride + 1 for side in x.shape[1:3])
    return math.prod(kernel.shape[:3]) * height * width > LARGE


def _fast_convolve_gradients(
    x: Array, kernel: Array, gradient: Array, stride: int, precision: Any
) -> tuple[Array, Array]:
    if len(kernel) == 1:
        return jax.vjp(functools.partial(_fast_convolve, stride=stride, precision=precision), x, kernel)[1](gradient)
    if _is_large(x, kernel, stride):
        form = functools.partial(_stock_convolve, stride=1, precision=precision)
        of_x = _of_inputs(form, kernel.swapaxes(2, 3), gradient, stride)
        return _filled(of_x, x), _of_large_kernel(x, gradient, kernel, stride, precision)
    patches = _patches(_rows_last(x), len(kernel), stride)  # XLA sees that they are those of the forward pass
    g = jax.lax.optimization_barrier(_rows_last(gradient))  # else each of its uses computes the layers above anew
    g, weights = g.reshape(len(g), -1), kernel.reshape(-1, kernel.shape[-1])
    of_weights = jnp.matmul(_columns(patches), g.T, precision=precision)
    of_patches = jnp.matmul(weights, g, precision=precision).reshape(patches.shape)
    return _unpatched(of_patches, x, stride), of_weights.reshape(kernel.shape)


def _of_large_kernel(x: Array, gradient: Array, kernel: Array, stride: int, precision: Any) -> Array:
    """One product for every place in the kernel: [s, s, c, f]."""
    g = jax.lax.optimization_barrier(gradient).reshape(-1, kernel.shape[-1])
    corners = [corner.reshape(-1, kernel.shape[2]) for corner in _corners(x, kernel.shape[:2], stride)]
    contracted = ((0,), (0,)), ((), ())
    products = [jax.lax.dot_general(corner, g, contracted, precision=precision) for corner in corners]
    return jnp.stack(products).reshape(kernel.shape)


def _columns(patches: Array) -> Array:
    """[s, s, c, h', w', n] -> [s * s * c, h' * w' * n]."""
    return patches.reshape(math.prod(patches.shape[:3]), -1)


def _patches(x: Array, size: int, stride: int = 1) -> Array:
    """[c, h, w, n] -> [s, s, c, h', w', n]: what kernel entry (i, j) meets; in two stages, each of few large copies."""
    columns = jnp.stack(_windows(x, 2, size, stride))
    return jnp.stack(_windows(columns, 2, size, stride))


def _windows(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """What each of `size` entries of a window meets along `axis`, as the window moves by `stride`."""
    last = x.shape[axis] - size
    return [jax.lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


def _unpatched(of_patches: Array, x: Array, stride: int) -> Array:
    """The adjoint of `_patches`, for x [n, h, w, c]."""
    return _filled(_rows_first(_overlapped(_overlapped(of_patches, 2, stride), 2, stride)), x)


def _filled(found: Array, x: Array) -> Array:
    """Shaped like x: zeros where no window reached."""
    return jnp.pad(found, [(0, have - some) for have, some in zip(x.shape, found.shape, strict=True)])


def _of_inputs(form: Callable[[Array, Array], Array], kernel: Array, gradient: Array, stride: int) -> Array:
    """The gradient of a convolution's inputs, by the convolution `form` of stride 1; kernel [s, s, f, c].

    By phases, as input s a + p meets the entries p, p + s, ... of the kernel only; XLA's own form is many times slower.
    """
    (height, width), rows = gradient.shape[1:3], []
    for i in range(stride):
        columns = [_full(form, kernel[i::stride, j::stride], gradient) for j in range(stride)]
        rows.append(_interleaved(columns, 2, len(kernel), width))
    return _interleaved(rows, 1, len(kernel), height)


def _full(form: Callable[[Array, Array], Array], kernel: Array, gradient: Array) -> Array:
    high, wide = kernel.shape[:2]
    around = (0, 0), (high - 1, high - 1), (wide - 1, wide - 1), (0, 0)
    return form(jnp.pad(gradient, around), kernel[::-1, ::-1])


def _overlapped(parts: Array, axis: int, stride: int = 1) -> Array:
    """Sum of the parts along the first axis, part i moved by i along `axis`, its entries `stride` apart.

    One is added after another into one array; a sum of padded parts would read and write all of it every time.
    """
    shape, length = [*parts.shape[1:]], parts.shape[axis + 1]
    if stride > 1:
        return _interleaved([_overlapped(parts[i::stride], axis) for i in range(stride)], axis, len(parts), length)
    shape[axis] += len(parts) - 1
    total = jnp.zeros(shape, parts.dtype)
    for i, part in enumerate(parts):
        place = (slice(None),) * axis + (slice(i, i + length),)
        total = total.at[place].add(part)
    return total


def _interleaved(phases: list[Array], axis: int, size: int, length: int) -> Array:
    """Entry k of phase p at k * stride + p of `axis`, for a window of `size` at `length` places."""
    stride, longest = len(phases), max(phase.shape[axis] for phase in phases)
    padded = [_lengthened(phase, axis, longest) for phase in phases]
    shape = [*padded[0].shape]
    shape[axis] *= stride
    woven = jnp.stack(padded, axis + 1).reshape(shape)
    return jax.lax.slice_in_dim(woven, 0, (length - 1) * stride + size, axis=axis)


def _lengthened(x: Array, axis: int, length: int) -> Array:
    return jnp.pad(x, [(0, length - have if i == axis else 0) for i, have in enumerate(x.shape)])


def _rows_last(x: Array) -> Array:
    return x.transpose(3, 1, 2, 0)


_rows_first = _rows_last  # [n, h, w, c] <-> [c, h, w, n] is its own inverse


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def depthwise_convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """Each channel by its own: [n, h, w, c] by [s, s, 1, c] -> [n, (h - s) // stride + 1, (w - s) // stride + 1, c]."""
    fast, stock = (functools.partial(form, stride=stride) for form in (_fast_convolve_each, _stock_convolve_each))
    return jax.lax.platform_dependent(x, kernel, cpu=fast, default=stock)


def _convolve_each_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_convolve(x, kernel, stride), (x, kernel)


def _convolve_each_backward(stride: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    def stock(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(_stock_convolve_each, stride=stride), x, kernel)[1](gradient)

    fast = functools.partial(_fast_convolve_each_gradients, stride=stride)
    return jax.lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


depthwise_convolve.defvjp(_convolve_each_forward, _convolve_each_backward)


def _stock_convolve_each(x: Array, kernel: Array, stride: int) -> Array:
    layout, channels = ("NHWC", "HWIO", "NHWC"), x.shape[-1]
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=layout, feature_group_count=channels
    )


def _fast_convolve_each(x: Array, kernel: Array, stride: int) -> Array:
    weights = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    corners = _corners(x, kernel.shape[:2], stride)
    return functools.reduce(jnp.add, [weight * corner for weight, corner in zip(weights, corners, strict=True)])


def _fast_convolve_each_gradients(x: Array, kernel: Array, gradient: Array, stride: int) -> tuple[Array, Array]:
    g = jax.lax.optimization_barrier(gradient)
    of_weights = jnp.stack([(corner * g).sum(axis=(0, 1, 2)) for corner in _corners(x, kernel.shape[:2], stride)])
    of_x = _of_inputs(functools.partial(_fast_convolve_each, stride=1), kernel, g, stride)
    return _filled(of_x, x), of_weights.reshape(kernel.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: Array, size: int = 2, stride: int = 2) -> Array:
    """Maximum over windows: [n, h, w, c] -> [n, h', w', c]; rows and columns that fill no window are dropped.

    The gradient goes to the first of equal maxima, as in other frameworks.
    """
    fast, stock = (functools.partial(form, size=size, stride=stride) for form in (_fast_max_pool, _stock_max_pool))
    return jax.lax.platform_dependent(x, cpu=fast, default=stock)


def _max_pool_forward(x: Array, size: int, stride: int) -> tuple[Array, tuple[Array, Array]]:
    fast = functools.partial(_fast_max_pool_places, size=size, stride=stride)

    def stock(x: Array) -> Array:  # needs none
        return jnp.zeros(jax.eval_shape(fast, x).shape, jnp.int8)

    return max_pool(x, size, stride), (x, jax.lax.platform_dependent(x, cpu=fast, default=stock))


def _max_pool_backward(size: int, stride: int, saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    def stock(x: Array, places: Array, gradient: Array) -> tuple[Array]:
        return jax.vjp(functools.partial(_stock_max_pool, size=size, stride=stride), x)[1](gradient)

    fast = functools.partial(_fast_max_pool_gradient, size=size, stride=stride)
    return jax.lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _stock_max_pool(x: Array, size: int, stride: int) -> Array:
    return nn.max_pool(x, (size, size), (stride, stride))


def _fast_max_pool(x: Array, size: int, stride: int) -> Array:
    turned = _layout(x)
    return turned(functools.reduce(jnp.maximum, _corners(turned(x), (size, size), stride)))


def _layout(x: Array) -> Callable[[Array], Array]:
    """Small maps stay with their rows last between small convolutions, large ones as they are; its own inverse."""
    return _rows_last if math.prod(x.shape[1:]) <= LARGE else jnp.asarray


def _fast_max_pool_places(x: Array, size: int, stride: int) -> Array:
    """Which of a window's places holds its first maximum, int8, shaped like `_fast_max_pool`.

    Kept from here, as the backward pass may compute x anew in other roundings, in which no place equals the maximum.
    """
    turned = _layout(x)
    greatest, *others = _corners(turned(x), (size, size), stride)
    places = jnp.zeros(greatest.shape, jnp.int8)
    for place, corner in enumerate(others, 1):
        places = jnp.where(corner > greatest, jnp.int8(place), places)
        greatest = jnp.maximum(greatest, corner)
    return turned(places)


def _fast_max_pool_gradient(x: Array, places: Array, gradient: Array, size: int, stride: int) -> tuple[Array]:
    turned = _layout(x)
    found, g = turned(places), turned(gradient)
    parts = jnp.stack([jnp.where(found == place, g, 0) for place in range(size**2)])
    parts = parts.reshape(size, size, *g.shape)
    return (_filled(turned(_overlapped(_overlapped(parts, 2, stride), 2, stride)), x),)


def _corners(x: Array, sizes: tuple[int, ...], stride: int) -> list[Array]:
    """What every place in a window of these sizes meets, row by row; x: rows and columns at axes 1 and 2."""
    return [part for rows in _windows(x, 1, sizes[0], stride) for part in _windows(rows, 2, sizes[1], stride)]


def pad_for_max_pool(x: Array, before: int, after: int) -> Array:
    """[n, h, w, c] -> [n, before + h + after, before + w + after, c]: surrounded by what no maximum takes."""
    around = (before, after)
    return jnp.pad(x, ((0, 0), around, around, (0, 0)), constant_values=-jnp.inf)
