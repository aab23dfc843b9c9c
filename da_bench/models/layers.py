"""Layers that XLA's CPU backend runs slowly in their stock form, written as matrix products.

A stock convolution inside `lax.scan`, or under `vmap` over seeds (where it turns into a grouped one), is several times
slower on a CPU than the same sum as one matrix product over patches. A test holds them equal to the stock layers.
"""

import functools
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

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Convolve; parameters `kernel` [size * size * c, features] and `bias` [features]."""
        return nn.Dense(self.features, name="patches")(self._patches(inputs))

    def _patches(self, inputs: Array) -> Array:
        before = (self.size - 1) // 2 if self.padding == "SAME" else 0
        after = self.size - 1 - before if self.padding == "SAME" else 0
        padded = jnp.pad(inputs, ((0, 0), (before, after), (before, after), (0, 0)))
        height, width = padded.shape[1] - self.size + 1, padded.shape[2] - self.size + 1
        if min(height, width) < 1:
            raise ValueError(
                f"a {self.size}x{self.size} convolution does not fit into {inputs.shape[1]}x{inputs.shape[2]}"
            )
        rows = jnp.concatenate([padded[:, i : i + height] for i in range(self.size)], axis=-1)
        return jnp.concatenate([rows[:, :, j : j + width] for j in range(self.size)], axis=-1)


def max_pool(inputs: Array) -> Array:
    """Maximum over 2x2 blocks: [n, h, w, c] -> [n, h // 2, w // 2, c]; an odd last row or column is dropped."""
    n, height, width, channels = inputs.shape
    even = inputs[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
