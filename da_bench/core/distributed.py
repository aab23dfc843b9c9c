"""Several processes that make the same runs together, each with devices of its own (`jax.distributed`).

All of them run the same command and launch the same programs. One, the lead, decides, writes and reports; what it
decides the others hear of by `agree`. With a single process all of this is nothing.
"""

from typing import Any

import jax
import numpy as np

from da_bench.core.types import Tree, is_key


def several() -> bool:
    """Whether there is more than one process."""
    return jax.process_count() > 1


def leads() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def agree(decision: bool) -> bool:
    """What the lead decided. All processes must call it at the same place."""
    if not several():
        return decision
    from jax.experimental import multihost_utils

    return bool(multihost_utils.broadcast_one_to_all(np.asarray(decision)))


def fetch(tree: Tree) -> Tree:
    """Leaves as whole numpy arrays, parts of which may lie with other processes; keys as their numbers."""
    return jax.tree.map(_fetch, tree)


def _fetch(leaf: Any) -> np.ndarray:
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
        return np.asarray(leaf)
    from jax.experimental import multihost_utils

    whole: np.ndarray = np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return whole


def put(tree: Tree, sharding: jax.sharding.Sharding) -> Tree:
    """Leaves, of which every process has the whole, on devices that may be of several processes."""

    def placed(leaf: Any) -> jax.Array:
        if is_key(leaf):
            return jax.random.wrap_key_data(placed(jax.random.key_data(leaf)))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(placed, tree)
