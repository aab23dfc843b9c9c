"""Runs whose data are streamed: chunks of steps are read ahead, for the same steps in the same order.

What is read follows from the run's key alone, so the result is the same to the bit for any number of reading threads,
and equal to that of data in memory except for rounding.
grain reads with threads, not processes: copying from a memory-mapped file needs no Python lock, and the images are
decoded already. (Processes of grain 0.2.18 fail unless absl has parsed flags, and leak shared memory.)
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Array, Batch, Output, Tree, is_key
from da_bench.data.transforms import View
from da_bench.models import Network
from da_bench.training.config import Training
from da_bench.training.prediction import PredictRequest, evaluation_chunk, predict
from da_bench.training.sampling import Data, Draw, draw_order, take_batch
from da_bench.training.step import Carry, RunSettings, advance_run, initial_carry, make_train_step, make_trainer

CHUNK_BYTES = 2**26  # of stored inputs read at a time, unless one step needs more; a device holds two chunks


class Programs(NamedTuple):
    """The compiled programs that the runs of a group share. A carry has leaves [1, ...], of one run.

    Attributes:
        draw_order: run to all its draws.
        start: (run, pretrained arrays) to its first carry.
        launch: (run, carry, (draws, stored batches) of `steps` steps) to the carry after them.
        evaluate: by the length of a chunk of probes, (carry, inputs, whether each is the target's) to outputs.
        steps: of one chunk.
    """

    draw_order: Callable[[RunSettings], Draw]
    start: Callable[[RunSettings, Tree], Carry]
    launch: Callable[[RunSettings, Carry, tuple[Draw, Batch]], Carry]
    evaluate: dict[int, Callable[[Carry, Array, Array], Output]]
    steps: int


def build(run: RunSettings, model: Network, data: Data, transform: View | None) -> Programs:
    """Compile the programs of a run, and of all that differ only in their keys and float hyper-parameters.

    Args:
        run: any run of the group.
        model: the network.
        data: whose inputs are read from disk.
        transform: how stored inputs become the network's.
    """
    run, steps, step = as_arrays(run), _steps_a_chunk(run.training, data), make_train_step(model, transform)

    def start(run: RunSettings, pretrained: Tree) -> Carry:
        return _add_axis(initial_carry(run, step, model, data._replace(pretrained=pretrained), transform))

    def launch(run: RunSettings, carry: Carry, chunk: tuple[Draw, Batch]) -> Carry:
        def next_step(carry: Carry, drawn: tuple[Draw, Batch]) -> tuple[Carry, None]:
            return advance_run(run, step, carry, *drawn), None

        return _add_axis(jax.lax.scan(next_step, _drop_axis(carry), chunk)[0])

    def evaluate(carry: Carry, inputs: Array, of_target: Array) -> Output:
        variables = run.method.inference_variables(_drop_axis(carry).state)
        request = PredictRequest(inputs, jnp.arange(len(inputs)), of_target)
        return _add_axis(predict(make_trainer(run, model), variables, request, transform))

    def compile_evaluation(length: int) -> Any:
        flags = jax.ShapeDtypeStruct((length,), bool)
        return jax.jit(evaluate).lower(carry, _inputs_like(data, length), flags).compile()

    ordered = jax.jit(lambda run: draw_order(run.key, run.training, data)).lower(run).compile()
    carry, chunk = jax.eval_shape(start, run, data.pretrained), _chunk_like(ordered(run), data, steps)
    lengths = set(map(len, _probe_chunks(data, evaluation_chunk(data.inputs, transform))))
    return Programs(
        draw_order=ordered,
        start=jax.jit(start).lower(run, data.pretrained).compile(),
        launch=jax.jit(launch).lower(run, carry, chunk).compile(),
        evaluate={length: compile_evaluation(length) for length in lengths},
        steps=steps,
    )


def as_arrays(run: RunSettings) -> RunSettings:
    """Convert the float hyper-parameters of a run to JAX arrays."""
    return jax.tree.map(jnp.asarray, run)


def _add_axis(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _drop_axis(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def _steps_a_chunk(training: Training, data: Data) -> int:
    """The most steps that fit into a chunk and divide those between two evaluations: one shape, so one program."""
    every = training.steps // training.evaluations
    rows = sum(training.batch_size or len(domain) for domain in (data.source_rows, data.target_rows))
    bytes_per_input = data.inputs.nbytes // len(data.inputs)
    most = max(1, CHUNK_BYTES // (rows * bytes_per_input))
    return max(steps for steps in range(1, every + 1) if every % steps == 0 and steps <= most)


def _inputs_like(data: Data, *shape: int) -> Any:
    return jax.ShapeDtypeStruct((*shape, *data.inputs.shape[1:]), data.inputs.dtype)


def _chunk_like(draws: Draw, data: Data, steps: int) -> Tree:
    """Shapes and types of the draws of a chunk and of the batches that they select."""
    chunk = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape[1:]), leaf.dtype), draws)
    labels: Any = jax.ShapeDtypeStruct(chunk.source_rows.shape, data.labels.dtype)
    source, target = (_inputs_like(data, *rows.shape) for rows in (chunk.source_rows, chunk.target_rows))
    return chunk, Batch(source, labels, target, chunk.target_rows)


def _probe_chunks(data: Data, most: int) -> list[np.ndarray]:
    """Indices of the probes in the chunks of `prediction.predict`: `most` at a time, then the rest."""
    return np.split(np.arange(len(data.probes)), range(most, len(data.probes), most))


class Streamed:
    """The `loop.Engine` of one run whose data are read on the way.

    Attributes:
        count: 1.
        probes: number of inputs that an evaluation predicts.
        workers: threads that read ahead; 0 reads in the training thread.
    """

    count = 1

    def __init__(self, run: RunSettings, programs: Programs, data: Data, workers: int) -> None:
        self.run, self.programs, self.data, self.workers = as_arrays(run), programs, data, workers
        self.probes = len(data.probes)
        self.draws = jax.tree.map(np.asarray, programs.draw_order(self.run))

    def start(self) -> Carry:
        """Return the initial carry, the input of the first step."""
        return self.programs.start(self.run, self.data.pretrained)

    def restore(self, carry: Tree, step: int) -> Carry:
        """Place numpy arrays [1, ...] on the device; ValueError where no chunk begins at `step`."""
        if step % self.programs.steps:
            raise ValueError(f"it stands at step {step}, within a chunk")

        def restore_leaf(leaf: np.ndarray, like: Array) -> Array:
            values = jnp.asarray(leaf)
            return jax.random.wrap_key_data(values) if is_key(like) else values

        return jax.tree.map(restore_leaf, carry, self.start())

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Compute steps `step` to `until`, one chunk a launch."""
        steps = self.programs.steps

        def read(i: int) -> tuple[Draw, Batch]:
            draws = jax.tree.map(lambda leaf: leaf[step + i * steps : step + (i + 1) * steps], self.draws)
            return draws, take_batch(self.data, draws)

        for i, chunk in enumerate(_read_ahead(read, (until - step) // steps, self.workers)):
            on_device = jax.device_put(chunk)  # copied while the chunk before is computed with
            jax.block_until_ready(carry)  # so that no more than two are on the device
            carry = self.programs.launch(self.run, carry, on_device)
            yield carry, step + (i + 1) * steps

    def evaluate(self, carry: Carry) -> Output:
        """Return the network's output for the probes."""
        chunks = _probe_chunks(self.data, max(self.programs.evaluate))
        outputs: list[Output] = []

        def read(i: int) -> tuple[Array, Array]:
            return self.data.inputs[self.data.probes[chunks[i]]], self.data.of_target[chunks[i]]

        for chunk in _read_ahead(read, len(chunks), self.workers):
            on_device = jax.device_put(chunk)
            jax.block_until_ready(outputs[-1:])
            outputs.append(self.programs.evaluate[len(chunk[0])](carry, *on_device))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *outputs)


def _read_ahead(read: Callable[[int], Tree], count: int, workers: int) -> Iterable[Tree]:
    """read(0), read(1), ... read(count - 1), in this order, as many ahead as there are workers."""
    grain = require_grain()
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=max(workers, 1))
    return grain.MapDataset.range(count).map(read).to_iter_dataset(options)


def require_grain() -> Any:
    """Return the package grain, which reads ahead.

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
