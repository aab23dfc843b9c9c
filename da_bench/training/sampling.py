"""The data of a run, and which rows of them every step takes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.types import Array, Batch, Domain, Tree, named_key
from da_bench.data.lazy_arrays import pool
from da_bench.training.config import Training


class Data(NamedTuple):
    """The data of a run. Each input is stored once, even if it has several uses.

    Attributes:
        inputs: stored inputs [N, ...]; an array, or `Joined` for data that are streamed.
        source_rows: rows of the labelled source in `inputs`, int32 [n].
        labels: of the source, int32 [n].
        target_rows: rows of the target's training inputs, int32 [m].
        probes: rows to predict at every evaluation, int32 [p].
        of_target: whether each probe comes from the target, bool [p].
        pretrained: arrays that the network starts from, {"params": ..., "batch_stats": ...} with any part of its own;
            the rest starts at random.
    """

    inputs: Any
    source_rows: Array
    labels: Array
    target_rows: Array
    probes: Array
    of_target: Array
    pretrained: Tree = {}  # noqa: RUF012 - the default of a tuple, which nobody changes


def gather_data(source: Domain, target: Array, probes: Sequence[Array], of_target: Sequence[bool] = ()) -> Data:
    """Collect the data of a run. Nothing is read yet, and rows that several arrays share are held once.

    Args:
        source: labelled training rows; inputs may be `Rows` of a larger array.
        target: training inputs [m, ...] of the target.
        probes: inputs to predict, in this order.
        of_target: for each of `probes` whether it comes from the target; () means that all do.

    Raises:
        UserError: inputs differ in type or shape.
    """
    inputs, (source_rows, target_rows, *probe_rows) = pool([source.inputs, target, *probes])
    origins = of_target or [True] * len(probes)
    flags = [np.full(len(rows), origin) for rows, origin in zip(probe_rows, origins, strict=True)]
    return Data(inputs, source_rows, source.labels, target_rows, np.concatenate(probe_rows), np.concatenate(flags))


class Draw(NamedTuple):
    """What one step draws.

    Attributes:
        step: its number, int32.
        source_rows: [b] of the source, counted from 0.
        target_rows: [b'] of the target, counted from 0.
    """

    step: Array
    source_rows: Array
    target_rows: Array


def draw_order(key: Array, training: Training, data: Data) -> Draw:
    """Return every draw of a run, in order: leaves [steps, ...]."""
    source = draw_rows(named_key(key, "source order"), len(data.source_rows), training)
    target = draw_rows(named_key(key, "target order"), len(data.target_rows), training)
    return Draw(jnp.arange(training.steps, dtype=jnp.int32), source, target)


def draw_rows(key: Array, n: int, training: Training) -> Array:
    """Return the rows of every batch of a run: int32 [steps, batch].

    Every epoch is a new permutation of the n rows; its last, incomplete batch is dropped.
    """
    size = training.batch_size or n
    per_epoch = n // size
    epochs = -(-training.steps // per_epoch)
    if size == n:  # a batch of the whole domain needs no order
        orders = jnp.broadcast_to(jnp.arange(n), (epochs, n))
    else:
        orders = jax.vmap(lambda epoch_key: jax.random.permutation(epoch_key, n))(jax.random.split(key, epochs))
    return orders[:, : per_epoch * size].reshape(-1, size)[: training.steps]


def take_batch(data: Data, draw: Draw) -> Batch:
    """Return the rows of a draw as they are stored."""
    inputs, rows = data.inputs, draw.target_rows
    return Batch(
        inputs[data.source_rows[draw.source_rows]], data.labels[draw.source_rows], inputs[data.target_rows[rows]], rows
    )


def batch_shapes(training: Training, data: Data) -> tuple[Draw, Batch]:
    """Return shapes and types of one draw and of the batch that it takes."""
    source, target = (training.batch_size or len(rows) for rows in (data.source_rows, data.target_rows))

    def like(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    source_inputs, target_inputs = (
        like((rows, *data.inputs.shape[1:]), data.inputs.dtype) for rows in (source, target)
    )
    draw = Draw(like((), jnp.int32), like((source,), jnp.int32), like((target,), jnp.int32))
    return draw, Batch(source_inputs, like((source,), data.labels.dtype), target_inputs, draw.target_rows)
