"""Runs over devices: many runs as one program, and one run's batch over several devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec

from da_bench.core.types import Batch, Tree


def over_runs(
    function: Callable[..., Tree], devices: Sequence[Any] | None = None, at_once: int | None = None, per_run: int = 1
) -> Any:
    """Map a function over runs and devices: one jitted program, equal to `jax.pmap(jax.vmap(function))`.

    Runs do not communicate with each other.

    Args:
        function: of one run, `function(*run, *shared)`.
        devices: over which the runs are spread; None is all.
        at_once: runs computed side by side at one place, which is `per_run` devices; the rest of its share follows
            batch by batch. None computes all side by side.
        per_run: devices that work on each run, see `shard_batch`.

    Returns:
        `mapped(runs, shared)`: `runs` is stacked along the first axis, whose length the number of places divides (see
        `stack_runs`); `shared` goes to every run.
    """
    mesh = make_mesh(devices or jax.devices(), per_run)

    def compute_share(runs: Tree, shared: Tree) -> Tree:
        batch = at_once or jax.tree.leaves(runs)[0].shape[0]
        # a batch of one is still a batch, for which XLA finds no plain convolution and no update in place
        return jax.lax.map(lambda run: function(*run, *shared), runs, batch_size=batch if batch > 1 else None)

    split, replicated = PartitionSpec("run"), PartitionSpec()
    # check_vma=False: a scan inside shard_map carries values that start unvarying and become varying
    mapped = jax.shard_map(
        compute_share, mesh=mesh, in_specs=(split, replicated), out_specs=split, axis_names={"run"}, check_vma=False
    )
    return jax.jit(mapped)


def make_mesh(devices: Sequence[Any], per_run: int) -> Mesh:
    """Return a mesh with axis "run", the places at which runs are computed, and axis "data", the devices of each."""
    shape = len(devices) // per_run, per_run
    return jax.make_mesh(shape, ("run", "data"), (AxisType.Auto,) * 2, devices=devices)


def stack_runs(trees: Sequence[Tree], places: int) -> Tree:
    """Stack equal trees along a new first axis, repeating the last one until `places` divides the length."""
    padded = [*trees, *[trees[-1]] * (-len(trees) % places)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)


def shard_batch(batch: Batch) -> Batch:
    """Spread the rows of a batch over the devices of one run, the mesh axis "data", where it has several.

    This is a hint to the compiler, which adds the communication: whatever a method computes from the whole batch stays
    the same, be it a covariance, a kernel matrix or a batch statistic.
    """
    if jax.sharding.get_abstract_mesh().shape.get("data", 1) == 1:
        return batch
    return jax.tree.map(lambda rows: jax.lax.with_sharding_constraint(rows, PartitionSpec("data")), batch)
