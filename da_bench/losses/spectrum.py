"""Singular values, of one matrix after another."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


@jax.custom_batching.sequential_vmap
def _decomposed(x: Array) -> tuple[Array, Array, Array]:
    """(u, values, v'); under vmap one matrix at a time.

    A batch of them is shared out over the threads of XLA's pool by one of these threads, which then waits: where all do
    (two devices, or two decompositions of one program, on two cores) none is left to work, and the run hangs.
    """
    u, values, right = jnp.linalg.svd(x, full_matrices=False)
    return u, values, right


@jax.custom_vjp
def singular_values(x: Array) -> Array:
    """[min(n, d)] of x [n, d], the largest first. The gradient of the k-th is u_k v_k', as long as it is simple."""
    return _decomposed(x)[1]


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    u, values, v = _decomposed(x)
    return values, (u, v)


def _backward(vectors: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    u, v = vectors
    return (jnp.matmul(u * gradient[None, :], v, precision=jax.lax.Precision.HIGHEST),)


singular_values.defvjp(_forward, _backward)
