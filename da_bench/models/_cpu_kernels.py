"""Convolution, pooling and matrix products in the form that is fast on CPUs, with their gradients.

Small convolutions hold maps as [channels, height, width, rows], so copies run over at least whole rows of images. The
transpositions between two layers cancel, so maps stay in this layout from the first layer to the last.

If the patches of one image hold more than `LARGE_IMAGE` numbers, copying them costs more than the product. XLA's own
forward convolution is then two to four times as fast, near the machine's peak even in a loop. Its gradients are not;
they are written as forward convolutions of stride 1 and as matrix products. Depthwise convolutions are sums of shifted
maps. In these cases maps stay as [rows, height, width, channels].
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from da_bench.core.types import Array

LARGE_IMAGE = 2**17  # numbers in the patches, or the maps, of one image


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def matmul(x: Array, kernel: Array, precision: Any = None) -> Array:
    """Multiply [..., d] by [d, k] -> [..., k]; the gradient of the kernel has the memory layout of the kernel.

    JAX's own rule computes that gradient transposed, as [k, d]. XLA then reads it column by column while it updates
    the kernel, which on a CPU takes longer than the rest of a small step.
    """
    return jnp.matmul(x, kernel, precision=precision)


def _matmul_forward(x: Array, kernel: Array, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return matmul(x, kernel, precision), (x, kernel)


def _matmul_backward(precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    x_gradient = jnp.tensordot(gradient, kernel, ((-1,), (1,)), precision=precision)
    rows, gradients = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    return x_gradient, jax.lax.dot_general(rows, gradients, (((0,), (0,)), ((), ())), precision=precision)


matmul.defvjp(_matmul_forward, _matmul_backward)


def convolve(x: Array, kernel: Array, stride: int, precision: Any) -> Array:
    """See `layers.convolve`."""
    if len(kernel) == 1:
        return matmul(x[:, ::stride, ::stride], kernel[0, 0], precision)
    if _is_large(x, kernel, stride):
        return _xla_convolve(x, kernel, stride, precision)
    patches, weights = _patches(_swap_rows_and_channels(x), len(kernel), stride), kernel.reshape(-1, kernel.shape[-1])
    # without the barrier XLA undoes the transposition, and the product with a transposed matrix is slower
    maps = jnp.matmul(jax.lax.optimization_barrier(weights.T), _columns(patches), precision=precision)
    return _swap_rows_and_channels(maps.reshape(-1, *patches.shape[3:]))


def convolve_gradients(x: Array, kernel: Array, gradient: Array, stride: int, precision: Any) -> tuple[Array, Array]:
    """Gradients of `convolve`'s result [n, h', w', f] with respect to x and kernel."""
    if len(kernel) == 1:
        return jax.vjp(functools.partial(convolve, stride=stride, precision=precision), x, kernel)[1](gradient)
    if _is_large(x, kernel, stride):
        form = functools.partial(_xla_convolve, stride=1, precision=precision)
        x_gradient = _input_gradient(form, kernel.swapaxes(2, 3), gradient, stride)
        return _pad_like(x_gradient, x), _large_kernel_gradient(x, gradient, kernel, stride, precision)
    patches = _patches(_swap_rows_and_channels(x), len(kernel), stride)  # XLA shares them with the forward pass
    # without the barrier each use of g computes the layers above again
    g = jax.lax.optimization_barrier(_swap_rows_and_channels(gradient))
    g, weights = g.reshape(len(g), -1), kernel.reshape(-1, kernel.shape[-1])
    weights_gradient = jnp.matmul(_columns(patches), g.T, precision=precision)
    patches_gradient = jnp.matmul(weights, g, precision=precision).reshape(patches.shape)
    maps_gradient = _add_overlapping(_add_overlapping(patches_gradient, 2, stride), 2, stride)
    return _pad_like(_swap_rows_and_channels(maps_gradient), x), weights_gradient.reshape(kernel.shape)


def _xla_convolve(x: Array, kernel: Array, stride: int, precision: Any) -> Array:
    layout = "NHWC", "HWIO", "NHWC"
    return jax.lax.conv_general_dilated(
        jnp.asarray(x), jnp.asarray(kernel), (stride, stride), "VALID", dimension_numbers=layout, precision=precision
    )


def _is_large(x: Array, kernel: Array, stride: int) -> bool:
    """Whether copying the patches of one image costs more than the product with them."""
    height, width = ((side - len(kernel)) // stride + 1 for side in x.shape[1:3])
    return math.prod(kernel.shape[:3]) * height * width > LARGE_IMAGE


def _large_kernel_gradient(x: Array, gradient: Array, kernel: Array, stride: int, precision: Any) -> Array:
    """Gradient of the kernel [s, s, c, f]: one matrix product for every entry (i, j)."""
    g = jax.lax.optimization_barrier(gradient).reshape(-1, kernel.shape[-1])
    shifted = [maps.reshape(-1, kernel.shape[2]) for maps in _shifted_maps(x, kernel.shape[:2], stride)]
    contracted = ((0,), (0,)), ((), ())
    products = [jax.lax.dot_general(maps, g, contracted, precision=precision) for maps in shifted]
    return jnp.stack(products).reshape(kernel.shape)


def _input_gradient(form: Callable[[Array, Array], Array], kernel: Array, gradient: Array, stride: int) -> Array:
    """Gradient of a convolution's input, by the convolution `form` of stride 1; kernel [s, s, f, c].

    Computed by phases: input s a + p meets only the entries p, p + s, ... of the kernel. XLA's own form is many times
    slower.
    """
    (height, width), rows = gradient.shape[1:3], []
    for i in range(stride):
        columns = [_full_convolve(form, kernel[i::stride, j::stride], gradient) for j in range(stride)]
        rows.append(_interleave(columns, 2, len(kernel), width))
    return _interleave(rows, 1, len(kernel), height)


def _full_convolve(form: Callable[[Array, Array], Array], kernel: Array, gradient: Array) -> Array:
    """Convolution with the flipped kernel at every position where the two overlap."""
    height, width = kernel.shape[:2]
    border = (0, 0), (height - 1, height - 1), (width - 1, width - 1), (0, 0)
    return form(jnp.pad(gradient, border), kernel[::-1, ::-1])


def depthwise_convolve(x: Array, kernel: Array, stride: int) -> Array:
    """See `layers.depthwise_convolve`."""
    weights = kernel.reshape(-1, 1, 1, 1, kernel.shape[-1])
    shifted = _shifted_maps(x, kernel.shape[:2], stride)
    return functools.reduce(jnp.add, [weight * maps for weight, maps in zip(weights, shifted, strict=True)])


def depthwise_convolve_gradients(x: Array, kernel: Array, gradient: Array, stride: int) -> tuple[Array, Array]:
    """Gradients of `depthwise_convolve`'s result with respect to x and kernel."""
    g = jax.lax.optimization_barrier(gradient)
    shifted = _shifted_maps(x, kernel.shape[:2], stride)
    weights_gradient = jnp.stack([(maps * g).sum(axis=(0, 1, 2)) for maps in shifted])
    x_gradient = _input_gradient(functools.partial(depthwise_convolve, stride=1), kernel, g, stride)
    return _pad_like(x_gradient, x), weights_gradient.reshape(kernel.shape)


def max_pool(x: Array, size: int, stride: int) -> Array:
    """See `layers.max_pool`."""
    arrange = _pooling_layout(x)
    return arrange(functools.reduce(jnp.maximum, _shifted_maps(arrange(x), (size, size), stride)))


def max_pool_argmax(x: Array, size: int, stride: int) -> Array:
    """Index in its window of the first maximum, int8 in 0..size^2 - 1, shaped like the result of `max_pool`.

    The index is kept from the forward pass. The backward pass may compute x again with other roundings, in which no
    entry equals the maximum.
    """
    arrange = _pooling_layout(x)
    maximum, *others = _shifted_maps(arrange(x), (size, size), stride)
    argmax = jnp.zeros(maximum.shape, jnp.int8)
    for index, maps in enumerate(others, 1):
        argmax = jnp.where(maps > maximum, jnp.int8(index), argmax)
        maximum = jnp.maximum(maximum, maps)
    return arrange(argmax)


def max_pool_gradient(x: Array, argmax: Array, gradient: Array, size: int, stride: int) -> tuple[Array]:
    """Gradient of `max_pool` with respect to x."""
    arrange = _pooling_layout(x)
    argmax, g = arrange(argmax), arrange(gradient)
    parts = jnp.stack([jnp.where(argmax == index, g, 0) for index in range(size**2)])
    parts = parts.reshape(size, size, *g.shape)
    return (_pad_like(arrange(_add_overlapping(_add_overlapping(parts, 2, stride), 2, stride)), x),)


def _pooling_layout(x: Array) -> Callable[[Array], Array]:
    """Return the layout change before pooling, to that of the adjacent convolutions; it is its own inverse."""
    return _swap_rows_and_channels if math.prod(x.shape[1:]) <= LARGE_IMAGE else jnp.asarray


def _swap_rows_and_channels(x: Array) -> Array:
    """[n, h, w, c] -> [c, h, w, n] and back; it is its own inverse."""
    return x.transpose(3, 1, 2, 0)


def _patches(x: Array, size: int, stride: int) -> Array:
    """[c, h, w, n] -> [s, s, c, h', w', n]: the maps that entry (i, j) meets, by few large copies."""
    columns = jnp.stack(_windows(x, 2, size, stride))
    return jnp.stack(_windows(columns, 2, size, stride))


def _columns(patches: Array) -> Array:
    """[s, s, c, h', w', n] -> [s * s * c, h' * w' * n]."""
    return patches.reshape(math.prod(patches.shape[:3]), -1)


def _windows(x: Array, axis: int, size: int, stride: int) -> list[Array]:
    """For each entry of a window of `size`: the entries of x that it meets along `axis` as the window moves."""
    last = x.shape[axis] - size
    return [jax.lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]


def _shifted_maps(x: Array, sizes: tuple[int, ...], stride: int) -> list[Array]:
    """For each entry (i, j) of a window, row by row: the maps that it meets along axes 1 and 2."""
    return [part for rows in _windows(x, 1, sizes[0], stride) for part in _windows(rows, 2, sizes[1], stride)]


def _pad_like(gradient: Array, x: Array) -> Array:
    """Append zeros up to the shape of x, for entries that no window reached."""
    return jnp.pad(gradient, [(0, wanted - size) for wanted, size in zip(x.shape, gradient.shape, strict=True)])


def _add_overlapping(parts: Array, axis: int, stride: int = 1) -> Array:
    """Sum over the first axis, with part i shifted by i along `axis` and its entries `stride` apart.

    Parts are added one by one into one array. A sum of padded parts would read and write all of it every time.
    """
    shape, length = [*parts.shape[1:]], parts.shape[axis + 1]
    if stride > 1:
        phases = [_add_overlapping(parts[i::stride], axis) for i in range(stride)]
        return _interleave(phases, axis, len(parts), length)
    shape[axis] += len(parts) - 1
    total = jnp.zeros(shape, parts.dtype)
    for i, part in enumerate(parts):
        target = (slice(None),) * axis + (slice(i, i + length),)
        total = total.at[target].add(part)
    return total


def _interleave(phases: list[Array], axis: int, size: int, length: int) -> Array:
    """Place entry k of phase p at k * stride + p of `axis`, for a window of `size` at `length` positions."""
    stride, longest = len(phases), max(phase.shape[axis] for phase in phases)
    padded = [
        jnp.pad(phase, [(0, longest - side if i == axis else 0) for i, side in enumerate(phase.shape)])
        for phase in phases
    ]
    shape = [*padded[0].shape]
    shape[axis] *= stride
    interleaved = jnp.stack(padded, axis + 1).reshape(shape)
    return jax.lax.slice_in_dim(interleaved, 0, (length - 1) * stride + size, axis=axis)
