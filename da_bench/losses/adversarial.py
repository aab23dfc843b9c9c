"""Gradient reversal and the domain classifier's loss (Ganin et al., JMLR 2016, arXiv:1505.07818)."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.types import Array

Schedule = Literal["ramp", "constant"]


@jax.custom_vjp
def reverse_gradient(x: Array, weight: Array | float) -> Array:
    """`x` going forward, its gradient times `-weight` going back: the layer of Section 4.2.

    x [...]; weight scalar >= 0, which itself receives no gradient.
    """
    del weight
    return x


def _forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return -weight * gradient, jnp.zeros_like(weight)


reverse_gradient.defvjp(_forward, _backward)


def domain_cross_entropy(source: Array, target: Array) -> Array:
    """Sum over the two domains of the mean logistic loss: what lambda multiplies in Section 4.2's objective.

    source [n], target [m]: logits of "comes from the source". Half of it is the mean over both domains.
    """
    on_source = optax.sigmoid_binary_cross_entropy(source, jnp.ones_like(source))
    on_target = optax.sigmoid_binary_cross_entropy(target, jnp.zeros_like(target))
    return on_source.mean() + on_target.mean()


def ramp(progress: Array, rate: float = 10.0) -> Array:
    """2 / (1 + exp(-rate p)) - 1, from 0 to almost 1 as `progress` p goes from 0 to 1: Section 5.2.2."""
    return 2.0 / (1.0 + jnp.exp(-rate * progress)) - 1.0


def scheduled(weight: Array | float, schedule: Schedule, progress: Array) -> Array | float:
    """`weight` at `progress` in [0, 1): times the `ramp`, or constant."""
    return weight * ramp(progress) if schedule == "ramp" else weight


def domain_confusion(judge: Callable[[Array], Array], source: Array, target: Array, weight: Array | float) -> Array:
    """`domain_cross_entropy` of a domain classifier, its gradient times `-weight` on its way to what it judges.

    judge: [n + m, d] -> logits [n + m]; source [n, d], target [m, d].
    """
    logits = judge(reverse_gradient(jnp.concatenate([source, target]), weight))
    return domain_cross_entropy(logits[: source.shape[0]], logits[source.shape[0] :])
