"""Entropic optimal transport between two samples with uniform weights, and the label costs of joint transport."""

import math

import jax
import jax.numpy as jnp

from da_bench.core.types import Array

COOLING = 0.7  # factor by which epsilon shrinks per iteration, starting at the range of the costs


def sinkhorn(cost: Array, epsilon: Array | float, iterations: int) -> Array:
    """Transport plan that nearly minimises <plan, cost> + epsilon KL(plan | 1/n 1/m).

    Iterations run in the logarithmic domain. They begin with a large epsilon, which halves about every two iterations
    (Schmitzer 2019), so a small epsilon is approached from nearby. Mass still missing after `iterations` is spread so
    that the marginals are exact (Altschuler et al. 2017, Algorithm 2).

    The plan carries no gradient. By the envelope theorem, the gradient of the minimal cost is the gradient of
    <plan, cost> at a fixed plan.

    Args:
        cost: [n, m] costs.
        epsilon: scalar > 0 in the units of the cost. Once converged, <plan, cost> exceeds the minimum by at most
            epsilon log(min(n, m)). Values below the rounding of the costs (about 1e-6 of their range in single
            precision) are raised to it.
        iterations: number of Sinkhorn iterations.

    Returns:
        [n, m] plan whose rows sum to 1/n and columns to 1/m.

    References: Schmitzer, SIAM J. Sci. Comput. 2019, arXiv:1610.06519; Altschuler et al., NIPS 2017,
        arXiv:1705.09634.
    """
    cost = jax.lax.stop_gradient(cost)
    final_epsilon, spread = _epsilon_and_range(cost, epsilon)

    def iterate(k: int, potentials: tuple[Array, Array]) -> tuple[Array, Array]:
        current = jnp.maximum(spread * COOLING**k, final_epsilon)
        columns = _soft_minimum(cost - potentials[0][:, None], current, axis=0)
        return _soft_minimum(cost - columns[None, :], current, axis=1), columns

    potentials = jax.lax.fori_loop(0, iterations, iterate, _zero_potentials(cost))
    plan = jnp.exp(jnp.minimum(_log_plan(cost, potentials, final_epsilon), 0.0))
    return _with_exact_marginals(plan)


def unbalanced_sinkhorn(cost: Array, epsilon: Array | float, tau: Array | float, iterations: int) -> Array:
    """Plan that minimises <plan, cost> + epsilon KL(plan | 1/n 1/m) + tau (KL(rows | 1/n) + KL(columns | 1/m)).

    `rows` and `columns` are the sums of the plan along them. Mass that is expensive to transport is left out, so the
    plan may sum to less than 1. The updates are Sinkhorn's, multiplied by tau / (tau + epsilon). They converge more
    slowly the larger tau is relative to epsilon: each iteration reduces the error of the mass by the factor
    (tau / (tau + epsilon))^2. The plan carries no gradient, as in `sinkhorn`.

    Args:
        cost: [n, m] costs.
        epsilon: scalar > 0 in the units of the cost, weight of the entropy.
        tau: scalar > 0 in the units of the cost, weight of the marginals.
        iterations: number of Sinkhorn iterations.

    Returns:
        [n, m] plan.

    References: Chizat et al., Math. Comp. 2018. arXiv:1607.05816, Section 5.
    """
    cost = jax.lax.stop_gradient(cost)
    epsilon, _ = _epsilon_and_range(cost, epsilon)
    damping = tau / (tau + epsilon)

    def iterate(_: int, potentials: tuple[Array, Array]) -> tuple[Array, Array]:
        columns = damping * _soft_minimum(cost - potentials[0][:, None], epsilon, axis=0)
        return damping * _soft_minimum(cost - columns[None, :], epsilon, axis=1), columns

    potentials = jax.lax.fori_loop(0, iterations, iterate, _zero_potentials(cost))
    return jnp.exp(_log_plan(cost, potentials, epsilon))


def _epsilon_and_range(cost: Array, epsilon: Array | float) -> tuple[Array, Array]:
    """Epsilon, raised to what rounding resolves, and the range of the costs; both positive."""
    spread, info = jnp.max(cost) - jnp.min(cost), jnp.finfo(cost.dtype)
    smallest = jnp.maximum(epsilon, 8 * info.eps * spread + info.tiny)
    return smallest, jnp.maximum(spread, smallest)


def _zero_potentials(cost: Array) -> tuple[Array, Array]:
    return jnp.zeros(cost.shape[0], cost.dtype), jnp.zeros(cost.shape[1], cost.dtype)


def _soft_minimum(values: Array, epsilon: Array, axis: int) -> Array:
    """-epsilon log of the mean of exp(-values / epsilon)."""
    return -epsilon * (jax.nn.logsumexp(-values / epsilon, axis=axis) - math.log(values.shape[axis]))


def _log_plan(cost: Array, potentials: tuple[Array, Array], epsilon: Array) -> Array:
    rows, columns = potentials
    return (rows[:, None] + columns[None, :] - cost) / epsilon - math.log(cost.size)


def _with_exact_marginals(plan: Array) -> Array:
    """Scale down rows and columns that have too much mass, then spread the missing mass as an outer product."""
    n, m = plan.shape
    tiny = jnp.finfo(plan.dtype).tiny
    plan = plan * jnp.minimum(1 / (n * jnp.maximum(plan.sum(axis=1), tiny)), 1.0)[:, None]
    plan = plan * jnp.minimum(1 / (m * jnp.maximum(plan.sum(axis=0), tiny)), 1.0)[None, :]
    missing_rows = jnp.maximum(1 / n - plan.sum(axis=1), 0.0)
    missing_columns = jnp.maximum(1 / m - plan.sum(axis=0), 0.0)
    return plan + missing_rows[:, None] * missing_columns[None, :] / jnp.maximum(missing_rows.sum(), tiny)


def pairwise_cross_entropy(labels: Array, logits: Array) -> Array:
    """Cross-entropy -log p_j(y_i) of every source label with every target prediction.

    Args:
        labels: [n] source labels, integers in 0..c-1.
        logits: [m, c] target logits.

    Returns:
        [n, m] costs >= 0.
    """
    return -jax.nn.log_softmax(logits)[:, labels].T


def pairwise_label_distances(labels: Array, logits: Array) -> Array:
    """Squared Euclidean distance of every one-hot source label to every target prediction.

    Args:
        labels: [n] source labels, integers in 0..c-1.
        logits: [m, c] target logits.

    Returns:
        [n, m] costs in [0, 2].
    """
    p = jax.nn.softmax(logits)
    return 1 + jnp.sum(p**2, axis=1)[None, :] - 2 * p[:, labels].T
