"""What adversarial methods share: gradient reversal, the domain classifier's loss (Ganin et al., JMLR 2016), maps."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from da_bench.core.types import Array
from da_bench.losses.norms import norm

Schedule = Literal["ramp", "constant", "slow_ramp", "warm_start"]
WARM_START = 1000  # steps to a unit of the suites' warm start


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
    """`weight` times what a schedule has reached at `progress`.

    "ramp": 2 / (1 + exp(-10 p)) - 1 at the run's progress p in [0, 1), the paper's. "slow_ramp": with exp(-p), which
    ends at 0.46 (DeepDA's gamma = 1). "warm_start": with exp(-i / 1000) at step i, whatever the length of the run: 0.46
    at step 1000, 0.995 at 6000 (TLlib's WarmStartGradientReverseLayer of alpha = 1, max_iters = 1000; the same as alpha
    = 10 over 10000 steps of CDAN's authors); `progress` is then in thousands of steps, see `Penalty.progress`.
    "constant": 1 (pytorch-adapt, WILDS).
    """
    if schedule == "constant":
        return weight
    return weight * ramp(progress, 10.0 if schedule == "ramp" else 1.0)


def domain_confusion(judge: Callable[[Array], Array], source: Array, target: Array, weight: Array | float) -> Array:
    """`domain_cross_entropy` of a domain classifier, its gradient times `-weight` on its way to what it judges.

    judge: [n + m, d] -> logits [n + m]; source [n, d], target [m, d].
    """
    logits = judge(reverse_gradient(jnp.concatenate([source, target]), weight))
    return domain_cross_entropy(logits[: source.shape[0]], logits[source.shape[0] :])


def weighted_domain_cross_entropy(logits: Array, weights: Array, sources: int) -> Array:
    """`domain_cross_entropy` with a weight for each row's loss; each domain is divided by its rows, not its weights.

    logits [n + m] of "comes from the source", the first n = `sources` of source rows; weights [n + m].
    """
    from_source = jnp.arange(logits.shape[0]) < sources
    losses = weights * optax.sigmoid_binary_cross_entropy(logits, from_source.astype(logits.dtype))
    return losses[:sources].mean() + losses[sources:].mean()


def outer_products(features: Array, predictions: Array) -> Array:
    """CDAN's multilinear map: [n, d c], the outer product of each row of features [n, d] and predictions [n, c]."""
    return (features[:, :, None] * predictions[:, None, :]).reshape(features.shape[0], -1)


def random_products(features: Array, predictions: Array, of_features: Array, of_predictions: Array) -> Array:
    """CDAN's randomised map: [n, r] products of random projections, over sqrt(r).

    features [n, d] and predictions [n, c] are projected by of_features [d, r] and of_predictions [c, r], of unit
    variance. Inner products of rows are, on average, those of `outer_products`.
    """
    return (features @ of_features) * (predictions @ of_predictions) / math.sqrt(of_features.shape[1])


def log_of_the_others(logits: Array, classes: Array) -> Array:
    """[n] log(1 - p of the given class) for logits [n, c] and classes [n] of 0..c-1; finite for any logits, c >= 2."""
    own = jax.nn.one_hot(classes, logits.shape[1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), axis=1)
    return others - jax.nn.logsumexp(logits, axis=1)


def gradient_penalty(judge: Callable[[Array], Array], points: Array) -> Array:
    """Mean of (||gradient of judge at a point|| - 1)^2 over points [n, d]; judge: [n, d] -> [n], row by row.

    Gulrajani et al. 2017 (arXiv:1704.00028), as WDGRL takes it.
    """
    slopes = norm(jax.grad(lambda x: judge(x).sum())(points))
    return jnp.mean((slopes - 1.0) ** 2)
