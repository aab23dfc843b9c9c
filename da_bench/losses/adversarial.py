"""Adversarial adaptation: gradient reversal, domain-classifier losses and CDAN's feature maps."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from da_bench.core.types import Array
from da_bench.losses.distances import norm


@jax.custom_vjp
def reverse_gradient(x: Array, weight: Array | float) -> Array:
    """Return `x` unchanged; multiply its gradient by `-weight`.

    Args:
        x: [...], any shape.
        weight: scalar >= 0. It receives no gradient itself.

    References: Ganin et al., JMLR 2016. arXiv:1505.07818, Section 4.2.
    """
    del weight
    return x


def _reverse_forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _reverse_backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return -weight * gradient, jnp.zeros_like(weight)


reverse_gradient.defvjp(_reverse_forward, _reverse_backward)


def domain_cross_entropy(source: Array, target: Array) -> Array:
    """Logistic loss of a domain classifier: the mean over the source plus the mean over the target.

    Convention: the sum of the two means, the quantity that lambda multiplies in the paper's objective. Half of it is
    the mean over both domains, which other suites report.

    Args:
        source: [n] logits of "comes from the source" for source rows.
        target: [m] logits of the same for target rows.

    Returns:
        Scalar >= 0.

    References: Ganin et al., JMLR 2016. arXiv:1505.07818, Section 4.2.
    """
    source_losses = optax.sigmoid_binary_cross_entropy(source, jnp.ones_like(source))
    target_losses = optax.sigmoid_binary_cross_entropy(target, jnp.zeros_like(target))
    return source_losses.mean() + target_losses.mean()


def domain_adversarial_loss(
    discriminator: Callable[[Array], Array], source: Array, target: Array, weight: Array | float
) -> Array:
    """`domain_cross_entropy` of a domain classifier behind gradient reversal.

    Args:
        discriminator: maps features [n + m, d] to logits [n + m] of "comes from the source".
        source: [n, d] source features.
        target: [m, d] target features.
        weight: scalar >= 0. The gradient that reaches the features is multiplied by `-weight`.

    References: Ganin et al., JMLR 2016. arXiv:1505.07818, Section 4.2.
    """
    logits = discriminator(reverse_gradient(jnp.concatenate([source, target]), weight))
    return domain_cross_entropy(logits[: source.shape[0]], logits[source.shape[0] :])


def weighted_domain_cross_entropy(logits: Array, weights: Array, num_source: int) -> Array:
    """`domain_cross_entropy` with a weight for every row.

    Convention: each domain's sum is divided by its number of rows, not by the sum of its weights.

    Args:
        logits: [n + m] logits of "comes from the source"; the first n rows are source rows.
        weights: [n + m] weights of the rows' losses.
        num_source: n.
    """
    is_source = jnp.arange(logits.shape[0]) < num_source
    losses = weights * optax.sigmoid_binary_cross_entropy(logits, is_source.astype(logits.dtype))
    return losses[:num_source].mean() + losses[num_source:].mean()


def multilinear_map(features: Array, predictions: Array) -> Array:
    """CDAN's multilinear map: the outer product of features and predictions, row by row.

    Args:
        features: [n, d].
        predictions: [n, c] class probabilities.

    Returns:
        [n, d c].

    References: Long et al., NeurIPS 2018. arXiv:1705.10667.
    """
    return (features[:, :, None] * predictions[:, None, :]).reshape(features.shape[0], -1)


def randomised_multilinear_map(
    features: Array, predictions: Array, feature_projection: Array, prediction_projection: Array
) -> Array:
    """CDAN's randomised multilinear map: products of random projections, divided by sqrt(r).

    Inner products of its rows equal those of `multilinear_map` on average.

    Args:
        features: [n, d].
        predictions: [n, c] class probabilities.
        feature_projection: [d, r] random entries of unit variance.
        prediction_projection: [c, r] random entries of unit variance.

    Returns:
        [n, r].

    References: Long et al., NeurIPS 2018. arXiv:1705.10667.
    """
    return (
        (features @ feature_projection) * (predictions @ prediction_projection) / math.sqrt(feature_projection.shape[1])
    )


def log_one_minus_probability(logits: Array, classes: Array) -> Array:
    """log(1 - p) for the probability p of one class of every row; finite for any finite logits.

    Args:
        logits: [n, c] with c >= 2.
        classes: [n] integers in 0..c-1.

    Returns:
        [n] values <= 0.
    """
    selected = jax.nn.one_hot(classes, logits.shape[1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(selected, -jnp.inf, logits), axis=1)
    return others - jax.nn.logsumexp(logits, axis=1)


def gradient_penalty(critic: Callable[[Array], Array], points: Array) -> Array:
    """Mean over points of (||gradient of the critic|| - 1)^2.

    Args:
        critic: maps [n, d] to [n], each row by itself.
        points: [n, d] where the gradient is taken.

    References: Gulrajani et al. 2017. arXiv:1704.00028, Eq. 3, as used by WDGRL.
    """
    slopes = norm(jax.grad(lambda x: critic(x).sum())(points))
    return jnp.mean((slopes - 1.0) ** 2)
