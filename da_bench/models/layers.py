"""Layers that XLA's CPU backend runs slowly in their stock form, written as matrix products and copies.

A stock convolution inside `lax.scan`, or under `vmap` over seeds (where it turns into a grouped one), is many times
slower on a CPU than the same sum as one matrix product over patches; so are the gradients of both it and pooling.
What is compiled for a CPU takes the fast forms below, any other backend the stock ones; tests hold them equal.

The fast forms see maps as [channels, height, width, rows]: copies then run over whole rows of pictures at least. The
transpositions between two layers cancel, so that maps stay so from the first layer to the last.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from da_bench.types import Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: Array, kernel: Array, precision: Any = None) -> Array:
    """[..., d] times [d, k] -> [..., k], with the gradient of the kernel laid out as the kernel.

    JAX's own rule makes that gradient as [k, d], and XLA then reads it column by column while it updates the kernel,
    which on a CPU takes longer than all the rest of a small step.
    """
    return jnp.matmul(x, kernel, precision=precision)


def _forward(x: Array, kernel: Array, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return product(x, kernel, precision), (x, kernel)


def _backward(precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    of_x = jnp.tensordot(gradient, kernel, ((-1,), (1,)), precision=precision)
    rows, gradients = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
    return of_x, jax.lax.dot_general(rows, gradients, (((0,), (0,)), ((), ())), precision=precision)


product.defvjp(_forward, _backward)


def _product(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    # the precision that holds here must hold in the backward pass, which is traced later
    return product(x, kernel, jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]


class Dense(nn.Dense):
    """The stock linear layer, by `product`."""

    dot_general: Any = _product


class Conv(nn.Module):
    """Square convolution of stride 1: [n, h, w, c] -> [n, h', w', features]; padding "SAME" or "VALID"."""

    features: int
    size: int
    padding: str = "VALID"
    use_bias: bool = True

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve; parameters as of `nn.Conv`: `kernel` [size, size, c, features] and `bias` [features]."""
        before = (self.size - 1) // 2 if self.padding == "SAME" else 0
        after = self.size - 1 - before if self.padding == "SAME" else 0
        padded = jnp.pad(inputs, ((0, 0), (before, after), (before, after), (0, 0)))
        if min(padded.shape[1:3]) < self.size:
            raise ValueError(
                f"a {self.size}x{self.size} convolution does not fit into {inputs.shape[1]}x{inputs.shape[2]}"
            )
        shape = self.size, self.size, inputs.shape[-1], self.features
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        padded, kernel, bias = nn.dtypes.promote_dtype(padded, kernel, bias)
        maps = convolve(padded, kernel, jax.config.jax_default_matmul_precision)  # type: ignore[attr-defined]
        return maps if bias is None else maps + bias[None, None, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def convolve(x: Array, kernel: Array, precision: Any = None) -> Array:
    """[n, h, w, c] by [s, s, c, f] -> [n, h - s + 1, w - s + 1, f]."""
    fast, stock = (functools.partial(form, precision=precision) for form in (_fast_convolve, _stock_convolve))
    return jax.lax.platform_dependent(x, kernel, cpu=fast, default=stock)


def _convolve_forward(x: Array, kernel: Array, precision: Any) -> tuple[Array, tuple[Array, Array]]:
    return convolve(x, kernel, precision), (x, kernel)


def _convolve_backward(precision: Any, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    def stock(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(functools.partial(_stock_convolve, precision=precision), x, kernel)[1](gradient)

    fast = functools.partial(_fast_convolve_gradients, precision=precision)
    return jax.lax.platform_dependent(*saved, gradient, cpu=fast, default=stock)


convolve.defvjp(_convolve_forward, _convolve_backward)


def _stock_convolve(x: Array, kernel: Array, precision: Any) -> Array:
    layout = "NHWC", "HWIO", "NHWC"
    return jax.lax.conv_general_dilated(
        jnp.asarray(x), jnp.asarray(kernel), (1, 1), "VALID", dimension_numbers=layout, precision=precision
    )


def _fast_convolve(x: Array, kernel: Array, precision: Any) -> Array:
    patches, weights = _patches(_rows_last(x), len(kernel)), kernel.reshape(-1, kernel.shape[-1])
    # XLA would undo the transposition, and the product with a transposed matrix is slower
    maps = jnp.matmul(jax.lax.optimization_barrier(weights.T), _columns(patches), precision=precision)
    return _rows_first(maps.reshape(-1, *patches.shape[3:]))


def _fast_convolve_gradients(x: Array, kernel: Array, gradient: Array, precision: Any) -> tuple[Array, Array]:
    patches = _patches(_rows_last(x), len(kernel))  # XLA sees that they are those of the forward pass
    g = jax.lax.optimization_barrier(_rows_last(gradient))  # else each of its uses computes the layers above anew
    g, weights = g.reshape(len(g), -1), kernel.reshape(-1, kernel.shape[-1])
    of_weights = jnp.matmul(_columns(patches), g.T, precision=precision)
    of_patches = jnp.matmul(weights, g, precision=precision).reshape(patches.shape)
    of_x = _overlapped(_overlapped(of_patches, axis=2), axis=2)
    return _rows_first(of_x), of_weights.reshape(kernel.shape)


def _columns(patches: Array) -> Array:
    """[s, s, c, h', w', n] -> [s * s * c, h' * w' * n]."""
    return patches.reshape(math.prod(patches.shape[:3]), -1)


def _patches(x: Array, size: int) -> Array:
    """[c, h, w, n] -> [s, s, c, h', w', n]: what kernel entry (i, j) meets; in two stages, each of few large copies."""
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    columns = jnp.stack([x[:, :, j : j + width] for j in range(size)])
    return jnp.stack([columns[:, :, i : i + height] for i in range(size)])


def _overlapped(parts: Array, axis: int) -> Array:
    """Sum of the parts along the first axis, part i moved by i along `axis`: the adjoint of stacking slices.

    One is added after another into one array; a sum of padded parts would read and write all of it every time.
    """
    shape, length = [*parts.shape[1:]], parts.shape[axis + 1]
    shape[axis] += len(parts) - 1
    total = jnp.zeros(shape, parts.dtype)
    for i, part in enumerate(parts):
        place = (slice(None),) * axis + (slice(i, i + length),)
        total = total.at[place].add(part)
    return total


def _rows_last(x: Array) -> Array:
    return x.transpose(3, 1, 2, 0)


_rows_first = _rows_last  # [n, h, w, c] <-> [c, h, w, n] is its own inverse


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    """Maximum over 2x2 blocks: [n, h, w, c] -> [n, h // 2, w // 2, c]; an odd last row or column is dropped.

    The gradient goes to the first of equal maxima, as in other frameworks.
    """
    return jax.lax.platform_dependent(x, cpu=_fast_max_pool, default=_stock_max_pool)


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    pooled = max_pool(x)
    return pooled, (x, pooled)


def _max_pool_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    def stock(x: Array, pooled: Array, gradient: Array) -> tuple[Array]:
        return jax.vjp(_stock_max_pool, x)[1](gradient)

    return jax.lax.platform_dependent(*saved, gradient, cpu=_fast_max_pool_gradient, default=stock)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def _stock_max_pool(x: Array) -> Array:
    return nn.max_pool(x, (2, 2), (2, 2))


def _fast_max_pool(x: Array) -> Array:
    return _rows_first(functools.reduce(jnp.maximum, _corners(_rows_last(x))))


def _fast_max_pool_gradient(x: Array, pooled: Array, gradient: Array) -> tuple[Array]:
    greatest, g = _rows_last(pooled), _rows_last(gradient)
    given, taken = [], jnp.zeros(g.shape, bool)
    for corner in _corners(_rows_last(x)):
        hit = (corner == greatest) & ~taken
        given.append(jnp.where(hit, g, 0))
        taken |= hit
    lines = [jnp.stack(given[:2], 3), jnp.stack(given[2:], 3)]
    c, height, width, n = g.shape
    whole = _rows_first(jnp.stack(lines, 2).reshape(c, 2 * height, 2 * width, n))
    return (jnp.pad(whole, [(0, have - some) for have, some in zip(x.shape, whole.shape, strict=True)]),)


def _corners(x: Array) -> list[Array]:
    """The four places of every block, row by row: each [c, h // 2, w // 2, n]."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    return [x[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
