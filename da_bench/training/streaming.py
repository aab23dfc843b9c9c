"""Streaming: data that a device does not hold are read a chunk of steps ahead, into the same steps in the same order.

What is read when follows from the run's key alone, so the result is the same to the bit for any number of readers, and
that of `train.run` but for rounding.
The reading is grain's: its threads, not its processes, as a memory-mapped file is copied without Python's lock and its
images are decoded already. (Processes of grain 0.2.18 fail unless absl has parsed flags, and leak shared memory.)
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
from da_bench.training import step as train
from da_bench.training.step import Asked, Carry, Data, Draw, Run, Training, evaluation_chunk, order, predict, take

CHUNK = 2**26  # bytes of stored inputs read at a time, unless one step needs more; a device holds two chunks


class Programs(NamedTuple):
    """What the runs of a group share, compiled once; a carry is [1, ...], of one run.

    order: run -> its draws; start: run and what its network starts from -> its first carry; advance: run, carry,
    (draws, what they drew) -> carry after those `steps`; look: for each length of a chunk of probes, carry, inputs,
    whether each is the target's -> output.
    """

    order: Callable[[Run], Draw]
    start: Callable[[Run, Tree], Carry]
    advance: Callable[[Run, Carry, tuple[Draw, Batch]], Carry]
    look: dict[int, Callable[[Carry, Array, Array], Output]]
    steps: int


def build(one: Run, model: Network, data: Data, view: View | None) -> Programs:
    """The programs of a run, and of all that are alike but for their keys and float fields."""
    one, steps, step = _arrays(one), _steps_a_chunk(one.training, data), train.stepper(model, view)

    def start(run: Run, pretrained: Tree) -> Carry:
        return _stacked(train.begin(run, step, model, data._replace(pretrained=pretrained), view))

    def advance(run: Run, carry: Carry, drawn: tuple[Draw, Batch]) -> Carry:
        def next_step(carry: Carry, drawn: tuple[Draw, Batch]) -> tuple[Carry, None]:
            return train.advance(run, step, carry, *drawn), None

        return _stacked(jax.lax.scan(next_step, _first(carry), drawn)[0])

    def look(carry: Carry, inputs: Array, of_target: Array) -> Output:
        variables = one.method.inference_variables(_first(carry).state)
        asked = Asked(inputs, jnp.arange(len(inputs)), of_target)
        return _stacked(predict(train.make_trainer(one, model), variables, asked, view))

    ordered = jax.jit(lambda run: order(run.key, run.training, data)).lower(one).compile()
    carry, chunk = jax.eval_shape(start, one, data.pretrained), _chunk_of(ordered(one), data, steps)
    lengths = set(map(len, _probe_chunks(data, evaluation_chunk(data.inputs, view))))
    return Programs(
        order=ordered,
        start=jax.jit(start).lower(one, data.pretrained).compile(),
        advance=jax.jit(advance).lower(one, carry, chunk).compile(),
        look={n: jax.jit(look).lower(carry, _like(data, n), _flags(n)).compile() for n in lengths},
        steps=steps,
    )


def _stacked(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[None], tree)


def _first(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf[0], tree)


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


def _flags(n: int) -> Any:
    return jax.ShapeDtypeStruct((n,), bool)


def _chunk_of(drawn: Draw, data: Data, steps: int) -> Tree:
    draws = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape[1:]), leaf.dtype), drawn)
    labels: Any = jax.ShapeDtypeStruct(draws.source.shape, data.labels.dtype)
    return draws, Batch(_like(data, *draws.source.shape), labels, _like(data, *draws.target.shape), draws.target)


def _probe_chunks(data: Data, most: int) -> list[np.ndarray]:
    """Places of the probes, as `train.predict` takes them: `most` at a time, then the rest."""
    return np.split(np.arange(len(data.probes)), range(most, len(data.probes), most))


class Streamed:
    """The `engine.Engine` of one run, of data that stay where they are; `workers` threads read ahead, 0: none."""

    count = 1

    def __init__(self, one: Run, programs: Programs, data: Data, workers: int) -> None:
        self.run, self.programs, self.data, self.workers = _arrays(one), programs, data, workers
        self.probes = len(data.probes)
        self.draws = jax.tree.map(np.asarray, programs.order(self.run))

    def start(self) -> Carry:
        """Before the first step."""
        return self.programs.start(self.run, self.data.pretrained)

    def place(self, carry: Tree, step: int) -> Carry:
        """Numpy arrays [1, ...] back on the device; ValueError where no chunk begins at `step`."""
        if step % self.programs.steps:
            raise ValueError(f"it stands at step {step}, within a chunk")
        return jax.tree.map(lambda leaf, like: _key(leaf) if is_key(like) else jnp.asarray(leaf), carry, self.start())

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Steps `step` to `until`, a chunk at a time."""
        steps = self.programs.steps

        def read(i: int) -> tuple[Draw, Batch]:
            draws = jax.tree.map(lambda leaf: leaf[step + i * steps : step + (i + 1) * steps], self.draws)
            return draws, take(self.data, draws)

        for i, chunk in enumerate(_read(read, (until - step) // steps, self.workers)):
            placed = jax.device_put(chunk)  # on its way while the chunk before is computed with
            jax.block_until_ready(carry)  # so that no more than two are on the device
            carry = self.programs.advance(self.run, carry, placed)
            yield carry, step + (i + 1) * steps

    def look(self, carry: Carry) -> Output:
        """The network's output for the probes."""
        places = _probe_chunks(self.data, max(self.programs.look))
        found: list[Output] = []
        for asked in _read(lambda i: self._asked(places[i]), len(places), self.workers):
            placed = jax.device_put(asked)
            jax.block_until_ready(found[-1:])
            found.append(self.programs.look[len(asked[0])](carry, *placed))
        return jax.tree.map(lambda *each: np.concatenate(each, axis=1), *found)

    def _asked(self, places: np.ndarray) -> tuple[Array, Array]:
        return self.data.inputs[self.data.probes[places]], self.data.of_target[places]


def _key(numbers: np.ndarray) -> Array:
    return jax.random.wrap_key_data(jnp.asarray(numbers))


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
