"""Several processes that compute the same runs together, each with its own devices (`jax.distributed`).

Every process runs the same command and launches the same programs. The primary process alone decides, writes and
reports; the others learn its decisions through `broadcast`. With a single process these functions do nothing.
"""

from typing import Any

import jax
import numpy as np

from da_bench.core.types import Tree, is_key


def is_distributed() -> bool:
    """Return whether more than one process takes part."""
    return jax.process_count() > 1


def is_primary() -> bool:
    """Return whether this process is the one that writes and reports."""
    return jax.process_index() == 0


def broadcast(decision: bool) -> bool:
    """Return the primary process's decision; every process must call this at the same place."""
    if not is_distributed():
        return decision
    from jax.experimental import multihost_utils

    return bool(multihost_utils.broadcast_one_to_all(np.asarray(decision)))


def barrier() -> None:
    """Wait until every process has come to the same place."""
    broadcast(True)


def fetch(tree: Tree) -> Tree:
    """Copy arrays to the host, gathering the parts that other processes hold.

    Args:
        tree: of arrays; typed random keys are returned as their uint32 data.

    Returns:
        The same tree of whole numpy arrays.
    """
    return jax.tree.map(_fetch, tree)


def _fetch(leaf: Any) -> np.ndarray:
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, np.ndarray) or leaf.is_fully_addressable:
        return np.asarray(leaf)
    from jax.experimental import multihost_utils

    gathered: np.ndarray = np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return gathered


def put(tree: Tree, sharding: jax.sharding.Sharding) -> Tree:
    """Place arrays on devices, which may belong to several processes.

    Args:
        tree: of whole arrays, equal on every process; typed random keys stay typed.
        sharding: which part of each array goes to which device.

    Returns:
        The same tree of JAX arrays.
    """

    def put_leaf(leaf: Any) -> jax.Array:
        if is_key(leaf):
            return jax.random.wrap_key_data(put_leaf(jax.random.key_data(leaf)))
        values = np.asarray(leaf)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(put_leaf, tree)
