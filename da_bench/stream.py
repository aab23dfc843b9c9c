"""Streaming: data that a device does not hold are read a chunk of steps ahead, into the same steps in the same order.

What is read when follows from the run's key alone, so the result is that of `train.run`, for any number of readers.
The reading is grain's: its threads, not its processes, as a memory-mapped file is copied without Python's lock and its
pictures are decoded already. (Processes of grain 0.2.18 fail unless absl has parsed flags, and leak shared memory.)
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.methods import Learner, Method
from da_bench.models import Network
from da_bench.settings import UserError
from da_bench.train import Data, Draw, Finished, Training, evaluation_chunk, init, order, predict, see, take
from da_bench.types import Array, Batch, Output, TrainState, Tree
from da_bench.view import View, evaluation_input

CHUNK = 2**26  # bytes of stored inputs read at a time, unless one step needs more; a device holds two chunks


class Run(NamedTuple):
    """What runs of one program differ in: the key, and float fields of method and training."""

    key: Array
    method: Method
    training: Training


class Programs(NamedTuple):
    """What the runs of a group share, compiled once.

    order: run -> its draws; start: run -> its first state; advance: run, state, (draws, what they drew) -> state after
    those `steps`, metrics [steps]; look: for each length of a chunk of probes, state, inputs -> output.
    """

    order: Callable[[Run], Draw]
    start: Callable[[Run], TrainState]
    advance: Callable[[Run, TrainState, tuple[Draw, Batch]], tuple[TrainState, Tree]]
    look: dict[int, Callable[[TrainState, Array], Output]]
    steps: int


def build(one: Run, model: Network, data: Data, view: View | None) -> Programs:
    """The programs of a run, and of all that are alike but for their keys and float fields."""
    one, steps = _arrays(one), _steps_a_chunk(one.training, data)
    example = evaluation_input(view, data.inputs[data.source[:2]])

    def learner(run: Run) -> Learner:
        return Learner(model, run.training.optimiser(), run.training.steps)

    def start(run: Run) -> TrainState:
        return init(run.key, run.method, learner(run), example)

    def advance(run: Run, state: TrainState, drawn: tuple[Draw, Batch]) -> tuple[TrainState, Tree]:
        def step(state: TrainState, drawn: tuple[Draw, Batch]) -> tuple[TrainState, dict[str, Array]]:
            return run.method.step(learner(run), state, see(run.key, view, *drawn))

        return jax.lax.scan(step, state, drawn)

    def look(state: TrainState, inputs: Array) -> Output:
        return predict(model, state, inputs, jnp.arange(len(inputs)), view)

    ordered = jax.jit(lambda run: order(run.key, run.training, data)).lower(one).compile()
    state, chunk = jax.eval_shape(start, one), _chunk_of(ordered(one), data, steps)
    lengths = set(map(len, _probe_chunks(data, evaluation_chunk(data.inputs, view))))
    return Programs(
        order=ordered,
        start=jax.jit(start).lower(one).compile(),
        advance=jax.jit(advance).lower(one, state, chunk).compile(),
        look={n: jax.jit(look).lower(state, _like(data, n)).compile() for n in lengths},
        steps=steps,
    )


def _arrays(one: Run) -> Run:
    return jax.tree.map(jnp.asarray, one)


def _steps_a_chunk(training: Training, data: Data) -> int:
    """The most steps that fit into a chunk and divide those between two evaluations: one shape, so one program."""
    each = training.steps // training.evaluations
    rows = sum(training.batch_size or len(domain) for domain in (data.source, data.target))
    most = CHUNK // (rows * _bytes(data))
    return max(steps for steps in range(1, each + 1) if each % steps == 0 and steps <= max(1, most))


def _bytes(data: Data) -> int:
    """Of one stored input."""
    return data.inputs.nbytes // len(data.inputs)


def _like(data: Data, *shape: int) -> Any:
    return jax.ShapeDtypeStruct((*shape, *data.inputs.shape[1:]), data.inputs.dtype)


def _chunk_of(drawn: Draw, data: Data, steps: int) -> Tree:
    draws = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape[2:]), leaf.dtype), drawn)
    labels: Any = jax.ShapeDtypeStruct(draws.source.shape, data.labels.dtype)
    return draws, Batch(_like(data, *draws.source.shape), labels, _like(data, *draws.target.shape))


def _probe_chunks(data: Data, most: int) -> list[np.ndarray]:
    """Rows of the probes, as `train.predict` takes them: `most` at a time, then the rest."""
    return np.split(data.probes, range(most, len(data.probes), most))


def run(one: Run, programs: Programs, data: Data, workers: int) -> Finished:
    """What `train.run` returns, of data that stay where they are; `workers` threads read ahead, 0: none."""
    one = _arrays(one)
    drawn = jax.tree.map(np.asarray, programs.order(one))
    state, metrics, logits, output = programs.start(one), [], [], Output(np.empty(0), np.empty(0))
    for evaluation in range(one.training.evaluations):
        segment = jax.tree.map(lambda leaf: leaf[evaluation], drawn)  # noqa: B023, used at once
        state, means = _train(one, programs, state, _batches(data, segment, programs.steps, workers))
        output = _predict(programs, state, data, workers)
        metrics.append(means)
        logits.append(output.logits)
    return Finished(state, jax.tree.map(lambda *each: np.stack(each), *metrics), np.stack(logits), output.features)


def _train(one: Run, programs: Programs, state: TrainState, chunks: Iterable[Tree]) -> tuple[TrainState, Tree]:
    """(the state after all chunks, the means of the metrics over their steps)."""
    metrics = []
    for chunk in chunks:
        placed = jax.device_put(chunk)  # on its way while the chunk before is computed with
        jax.block_until_ready(state)  # so that no more than two are on the device
        state, found = programs.advance(one, state, placed)
        metrics.append(found)
    return state, _means(jax.tree.map(lambda *each: np.concatenate(each), *metrics))


@jax.jit
def _means(metrics: Tree) -> Tree:
    return jax.tree.map(lambda each: each.mean(axis=0), metrics)


def _predict(programs: Programs, state: TrainState, data: Data, workers: int) -> Output:
    rows = _probe_chunks(data, max(programs.look))
    found: list[Output] = []
    for inputs in _read(lambda i: data.inputs[rows[i]], len(rows), workers):
        placed = jax.device_put(inputs)
        jax.block_until_ready(found[-1:])
        found.append(programs.look[len(inputs)](state, placed))
    return jax.tree.map(lambda *each: np.concatenate(each), *found)


def _batches(data: Data, drawn: Draw, steps: int, workers: int) -> Iterable[tuple[Draw, Batch]]:
    """The draws of a segment and what they drew, `steps` at a time."""

    def read(i: int) -> tuple[Draw, Batch]:
        draws = jax.tree.map(lambda leaf: leaf[i * steps : (i + 1) * steps], drawn)
        return draws, take(data, draws)

    return _read(read, len(drawn.step) // steps, workers)


def _read(read: Callable[[int], Tree], count: int, workers: int) -> Iterable[Tree]:
    """read(0), read(1), ... read(count - 1), in this order, as many ahead as there are workers."""
    grain = require_grain()
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=max(workers, 1))
    return grain.MapDataset.range(count).map(read).to_iter_dataset(options)


def require_grain() -> Any:
    """The package that reads ahead.

    Raises:
        UserError: it is not installed.
    """
    try:
        import grain
    except ImportError:
        raise UserError(
            "data larger than Options.resident_gib are streamed from disk, and the package for it is missing: "
            'pip install "da-bench[stream]", or raise resident_gib to hold them in memory'
        ) from None
    return grain
