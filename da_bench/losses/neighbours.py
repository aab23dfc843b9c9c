"""Nearest neighbours in direction, among rows of which some are not known yet."""

import jax
import jax.numpy as jnp

from da_bench.core.config import UserError
from da_bench.core.types import Array
from da_bench.losses.clusters import cosines


def neighbours(features: Array, own: Array, known: tuple[Array, Array], count: int) -> tuple[Array, Array]:
    """([n, count] places of the nearest in cosine, [n, count] bool whether there are so many), nearest first.

    features [n, d] of which the i-th is row own[i] of `known`: (features [N, d], seen [N] bool); it is no neighbour of
    its own, and unseen rows are nobody's.

    Raises:
        UserError: for no more rows than neighbours.
    """
    everyone, seen = known
    if count >= len(seen):
        raise UserError(f"{count} neighbours of a target row need more than {count} target rows, not {len(seen)}")
    usable = seen[None, :] & (own[:, None] != jnp.arange(len(seen))[None, :])
    nearness, places = jax.lax.top_k(jnp.where(usable, cosines(features, everyone), -jnp.inf), count)
    return places, jnp.isfinite(nearness)
