"""Runs whose data lie on the devices: all runs of a group are one compiled program, spread over the devices."""

import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from da_bench.core.distributed import is_distributed, put
from da_bench.core.types import Array, Output, Tree, is_key
from da_bench.data.transforms import View
from da_bench.methods import Method
from da_bench.models import Network
from da_bench.training import step as train
from da_bench.training.step import (
    Asked,
    Carry,
    Data,
    Draw,
    Run,
    Training,
    mesh_of,
    order,
    over_runs,
    predict,
    stack,
    take,
)

LAUNCH = 2.0  # seconds that a launch is to take: a request to stop waits no longer, and its start costs nothing


class Devices(NamedTuple):
    """Where runs are made: `per_run` of the `devices` work on each run, and one such place computes `at_once` of its
    runs side by side, None: all of them.
    """

    devices: tuple[Any, ...]
    at_once: int | None = None
    per_run: int = 1


class Programs(NamedTuple):
    """What the runs of a group share, compiled once.

    start: run, data -> its first carry and its draws; advance: run, carry, draws, data, first step, step after the
    last -> carry; look: run, carry, data -> output.
    """

    start: Any
    advance: Any
    look: Any


def build(runs: Run, model: Network, data: Data, view: View | None, where: Devices) -> Programs:
    """The programs of stacked runs; those of before where they are equal, as the batches of a search are.

    Of code that is not ours they are always made, as that of a notebook may have changed since.
    """
    ours = all(type(one).__module__.startswith("da_bench.") for one in (runs.method, model))
    leaves, structure = jax.tree.flatten(jax.tree.map(_like, (runs, data)))
    return (_kept if ours else _compiled)(model, view, where, tuple(leaves), structure)


def _like(leaf: Any, sharding: Any = None) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding or leaf.sharding)


def _compiled(model: Network, view: View | None, where: Devices, leaves: Sequence[Any], structure: Any) -> Programs:
    (runs, data), step = structure.unflatten(leaves), train.stepper(model, view)

    def start(key: Array, method: Method, training: Training, own: Tree, data: Data) -> tuple[Carry, Draw]:
        run = Run(key, method, training)
        return train.begin(run, step, model, data._replace(**own), view), order(key, training, data)

    def advance(run: Run, carry: Carry, drawn: Draw, data: Data, start: Array, until: Array) -> Carry:
        data = data._replace(**run.own)

        def body(i: Array, carry: Carry) -> Carry:
            draw = jax.tree.map(lambda leaf: leaf[i], drawn)
            return train.advance(run, step, carry, draw, take(data, draw))

        return jax.lax.fori_loop(start, until, body, carry)

    def look(run: Run, carry: Carry, data: Data) -> Output:
        asked = Asked(data.inputs, data.probes, data.of_target)
        return predict(train.make_trainer(run, model), run.method.inference_variables(carry.state), asked, view)

    mapped = [over_runs(fn, *where) for fn in (start, advance, look)]
    whole, split = shardings(where)
    first, draws = jax.tree.map(lambda leaf: _like(leaf, split), jax.eval_shape(mapped[0], runs, (data,)))
    count = jax.ShapeDtypeStruct((), np.int32, sharding=whole)
    given = (runs, (data,)), ((runs, first, draws), (data, count, count)), ((runs, first), (data,))
    return Programs(*(fn.lower(*each).compile() for fn, each in zip(mapped, given, strict=True)))


_kept = functools.lru_cache(maxsize=8)(_compiled)


def shardings(where: Devices) -> tuple[NamedSharding, NamedSharding]:
    """(whole: on every device; split: along the first axis over the places)."""
    mesh = mesh_of(where.devices, where.per_run)
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("run"))


class Resident:
    """The `engine.Engine` of runs whose data are on the devices."""

    def __init__(self, runs: Sequence[Run], model: Network, data: Data, view: View | None, where: Devices) -> None:
        self.count, self.probes = len(runs), len(data.probes)
        self.places = len(where.devices) // where.per_run
        self.whole, self.split = shardings(where)
        self.runs = put(stack(runs, self.places), self.split)
        self.data = put(data, self.whole)
        self.stride = 2**30 if is_distributed() else 8
        self.programs = build(self.runs, model, self.data, view, where)
        self._first, self._draws = self.programs.start(self.runs, (self.data,))

    def start(self) -> Carry:
        """Before the first step."""
        return self._first

    def place(self, carry: Tree, step: int) -> Carry:
        """Numpy arrays [runs, ...] back on the devices, the last run repeated until all places have one."""
        missing = -self.count % self.places

        def padded(leaf: np.ndarray, like: Array) -> Array:
            rows = np.concatenate([leaf, *[leaf[-1:]] * missing])
            return jax.random.wrap_key_data(jnp.asarray(rows)) if is_key(like) else rows

        return put(jax.tree.map(padded, carry, self._first), self.split)

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Steps `step` to `until`, as many in a launch as take `LAUNCH` seconds."""
        while step < until:
            end, begun = min(until, step + self.stride), time.monotonic()
            shared = self.data, *put((np.int32(step), np.int32(end)), self.whole)
            carry = jax.block_until_ready(self.programs.advance((self.runs, carry, self._draws), shared))
            took = (time.monotonic() - begun) / (end - step)
            step = end
            if not is_distributed():  # whose clocks differ, and whose launches must not
                self.stride = max(1, min(2 * self.stride, int(LAUNCH / took)))
            yield carry, step

    def look(self, carry: Carry) -> Output:
        """The network's output for the probes."""
        output: Output = self.programs.look((self.runs, carry), (self.data,))
        return output
