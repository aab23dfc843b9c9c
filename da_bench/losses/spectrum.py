"""Singular values and the nuclear norm."""

import jax
import jax.numpy as jnp

from da_bench.core.types import Array


@jax.custom_batching.sequential_vmap
def _svd(x: Array) -> tuple[Array, Array, Array]:
    """Singular value decomposition (U, values, V'); under vmap, one matrix after another.

    A batched decomposition on the CPU is distributed over XLA's thread pool by one of the pool's own threads, which
    then waits for the others. If all threads wait (two devices, or two decompositions of one program, on two cores),
    none is left to work and the run hangs.
    """
    u, values, v = jnp.linalg.svd(x, full_matrices=False)
    return u, values, v


@jax.custom_vjp
def singular_values(x: Array) -> Array:
    """Singular values of a matrix, largest first.

    The gradient of the k-th value is u_k v_k', which is correct as long as the value is simple.

    Args:
        x: [n, d].

    Returns:
        [min(n, d)].
    """
    return _svd(x)[1]


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    u, values, v = _svd(x)
    return values, (u, v)


def _backward(vectors: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    u, v = vectors
    return (jnp.matmul(u * gradient[None, :], v, precision=jax.lax.Precision.HIGHEST),)


singular_values.defvjp(_forward, _backward)


def nuclear_norm(x: Array) -> Array:
    """Sum of the singular values of x [n, c].

    The gradient is the subgradient of least norm: singular values that equal 0 within this precision
    contribute nothing.
    """
    values = singular_values(x)
    floor = max(x.shape) * jnp.finfo(x.dtype).eps * values[0]
    return jnp.sum(jnp.where(values > floor, values, 0.0))
