"""Optimal transport between two samples of equal weights, with an entropy, in the logarithmic domain."""

import math

import jax
import jax.numpy as jnp

from da_bench.core.types import Array

COOLING = 0.7  # factor of epsilon from one iteration to the next, from the range of the costs down


def sinkhorn(cost: Array, epsilon: Array | float, iterations: int) -> Array:
    """[n, m] plan that nearly minimises <plan, cost> + epsilon KL(plan | 1/n 1/m); its rows sum to 1/n, columns to 1/m.

    cost [n, m]; epsilon > 0, in the units of the cost: <plan, cost> exceeds the least by epsilon log(min(n, m)) at
    most, once converged. It begins with a large epsilon, which halves about every two iterations (Schmitzer 2019,
    arXiv:1610.06519), so that a small one is reached from nearby; what is missing after `iterations` is spread such
    that the marginals are exact (Altschuler et al. 2017, arXiv:1705.09634, Algorithm 2).
    The plan carries no gradient: by the envelope theorem that of the least cost is that of <plan, cost> at a fixed
    plan. An epsilon below the rounding of the costs (1e-6 of their range in single precision) is taken as that.
    """
    cost = jax.lax.stop_gradient(cost)
    smallest, largest = _range(cost, epsilon)

    def improve(k: int, potentials: tuple[Array, Array]) -> tuple[Array, Array]:
        now = jnp.maximum(largest * COOLING**k, smallest)
        columns = _soft_minimum(cost - potentials[0][:, None], now, axis=0)
        return _soft_minimum(cost - columns[None, :], now, axis=1), columns

    rows, columns = jax.lax.fori_loop(0, iterations, improve, _zeros(cost))
    return _with_exact_marginals(_plan(cost, (rows, columns), smallest))


def unbalanced_sinkhorn(cost: Array, epsilon: Array | float, tau: Array | float, iterations: int) -> Array:
    """[n, m] plan that minimises <plan, cost> + epsilon KL(plan | 1/n 1/m) + tau (KL(rows | 1/n) + KL(columns | 1/m)).

    rows, columns: the plan's sums along them. cost [n, m]; epsilon, tau > 0, in the units of the cost. It leaves out
    what is expensive to transport: all of it may be less than 1. It is reached the more slowly the larger tau is beside
    epsilon: an iteration leaves (tau / (tau + epsilon))^2 of what the mass is off by. Chizat et al. 2018
    (arXiv:1607.05816), Section 5: Sinkhorn's updates times tau / (tau + epsilon). No gradient, as in `sinkhorn`.
    """
    cost = jax.lax.stop_gradient(cost)
    epsilon, _ = _range(cost, epsilon)
    damping = tau / (tau + epsilon)

    def improve(_: int, potentials: tuple[Array, Array]) -> tuple[Array, Array]:
        columns = damping * _soft_minimum(cost - potentials[0][:, None], epsilon, axis=0)
        return damping * _soft_minimum(cost - columns[None, :], epsilon, axis=1), columns

    return jnp.exp(_log_plan(cost, jax.lax.fori_loop(0, iterations, improve, _zeros(cost)), epsilon))


def _range(cost: Array, epsilon: Array | float) -> tuple[Array, Array]:
    """(epsilon that rounding leaves, the range of the costs), each above 0."""
    spread, info = jnp.max(cost) - jnp.min(cost), jnp.finfo(cost.dtype)
    smallest = jnp.maximum(epsilon, 8 * info.eps * spread + info.tiny)
    return smallest, jnp.maximum(spread, smallest)


def _zeros(cost: Array) -> tuple[Array, Array]:
    return jnp.zeros(cost.shape[0], cost.dtype), jnp.zeros(cost.shape[1], cost.dtype)


def _soft_minimum(values: Array, epsilon: Array, axis: int) -> Array:
    """-epsilon log of the mean of exp(-values / epsilon)."""
    return -epsilon * (jax.nn.logsumexp(-values / epsilon, axis=axis) - math.log(values.shape[axis]))


def _log_plan(cost: Array, potentials: tuple[Array, Array], epsilon: Array) -> Array:
    rows, columns = potentials
    return (rows[:, None] + columns[None, :] - cost) / epsilon - math.log(cost.size)


def _plan(cost: Array, potentials: tuple[Array, Array], epsilon: Array) -> Array:
    return jnp.exp(jnp.minimum(_log_plan(cost, potentials, epsilon), 0.0))


def _with_exact_marginals(plan: Array) -> Array:
    n, m = plan.shape
    tiny = jnp.finfo(plan.dtype).tiny
    plan = plan * jnp.minimum(1 / (n * jnp.maximum(plan.sum(axis=1), tiny)), 1.0)[:, None]
    plan = plan * jnp.minimum(1 / (m * jnp.maximum(plan.sum(axis=0), tiny)), 1.0)[None, :]
    of_rows = jnp.maximum(1 / n - plan.sum(axis=1), 0.0)
    of_columns = jnp.maximum(1 / m - plan.sum(axis=0), 0.0)
    return plan + of_rows[:, None] * of_columns[None, :] / jnp.maximum(of_rows.sum(), tiny)
