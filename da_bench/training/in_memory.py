"""Runs whose data the devices hold: all runs of a group are one compiled program, spread over the devices."""

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
from da_bench.training.config import Training
from da_bench.training.mesh import make_mesh, over_runs, stack_runs
from da_bench.training.prediction import PredictRequest, predict
from da_bench.training.sampling import Data, Draw, draw_order, take_batch
from da_bench.training.step import Carry, RunSettings, advance_run, initial_carry, make_train_step, make_trainer

LAUNCH_SECONDS = 2.0  # time of a launch: a request to stop waits no longer, and the cost of starting it is negligible


class Devices(NamedTuple):
    """Devices that compute the runs of a group.

    Attributes:
        devices: a multiple of `per_run` of them.
        at_once: runs computed side by side at one place, which is `per_run` devices; None computes all of its share.
        per_run: devices that work on each run.
    """

    devices: tuple[Any, ...]
    at_once: int | None = None
    per_run: int = 1


class Programs(NamedTuple):
    """The compiled programs that the runs of a group share.

    Attributes:
        start: (runs, data) to their first carries and all their draws.
        launch: (runs, carries, draws, data, first step, step after the last) to carries.
        evaluate: (runs, carries, data) to outputs for the probes.
    """

    start: Any
    launch: Any
    evaluate: Any


def build(runs: RunSettings, model: Network, data: Data, transform: View | None, devices: Devices) -> Programs:
    """Compile the programs of a group, or return those of an equal group, as the batches of a search are.

    Programs of user code are always compiled, as the code of a notebook may have changed since.

    Args:
        runs: stacked, [runs, ...].
        model: the network.
        data: of all runs.
        transform: how stored inputs become the network's.
        devices: that compute the runs.
    """
    is_built_in = all(type(thing).__module__.startswith("da_bench.") for thing in (runs.method, model))
    leaves, structure = jax.tree.flatten(jax.tree.map(_shape_of, (runs, data)))
    return (_compile_cached if is_built_in else _compile)(model, transform, devices, tuple(leaves), structure)


def _shape_of(leaf: Any, sharding: Any = None) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding or leaf.sharding)


def _compile(
    model: Network, transform: View | None, devices: Devices, leaves: Sequence[Any], structure: Any
) -> Programs:
    (runs, data), step = structure.unflatten(leaves), make_train_step(model, transform)

    def start(key: Array, method: Method, training: Training, overrides: Tree, data: Data) -> tuple[Carry, Draw]:
        run = RunSettings(key, method, training)
        return initial_carry(run, step, model, data._replace(**overrides), transform), draw_order(key, training, data)

    def launch(run: RunSettings, carry: Carry, draws: Draw, data: Data, start: Array, until: Array) -> Carry:
        data = data._replace(**run.overrides)

        def body(i: Array, carry: Carry) -> Carry:
            draw = jax.tree.map(lambda leaf: leaf[i], draws)
            return advance_run(run, step, carry, draw, take_batch(data, draw))

        return jax.lax.fori_loop(start, until, body, carry)

    def evaluate(run: RunSettings, carry: Carry, data: Data) -> Output:
        request = PredictRequest(data.inputs, data.probes, data.of_target)
        variables = run.method.inference_variables(carry.state)
        return predict(make_trainer(run, model), variables, request, transform)

    mapped = [over_runs(function, *devices) for function in (start, launch, evaluate)]
    replicated, split = shardings(devices)
    carries, draws = jax.tree.map(lambda leaf: _shape_of(leaf, split), jax.eval_shape(mapped[0], runs, (data,)))
    count = jax.ShapeDtypeStruct((), np.int32, sharding=replicated)
    arguments = (
        (runs, (data,)),
        ((runs, carries, draws), (data, count, count)),
        ((runs, carries), (data,)),
    )
    return Programs(*(fn.lower(*shapes).compile() for fn, shapes in zip(mapped, arguments, strict=True)))


_compile_cached = functools.lru_cache(maxsize=8)(_compile)


def shardings(devices: Devices) -> tuple[NamedSharding, NamedSharding]:
    """Return (replicated: on every device; split: along the first axis over the places)."""
    mesh = make_mesh(devices.devices, devices.per_run)
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("run"))


class InMemory:
    """The `loop.Engine` of runs whose data the devices hold.

    Attributes:
        count: number of runs.
        probes: number of inputs that an evaluation predicts.
        stride: steps of the next launch, adapted to LAUNCH_SECONDS.
    """

    def __init__(
        self, runs: Sequence[RunSettings], model: Network, data: Data, transform: View | None, devices: Devices
    ) -> None:
        self.count, self.probes = len(runs), len(data.probes)
        self.places = len(devices.devices) // devices.per_run
        self.replicated, self.split = shardings(devices)
        self.runs = put(stack_runs(runs, self.places), self.split)
        self.data = put(data, self.replicated)
        self.stride = 2**30 if is_distributed() else 8
        self.programs = build(self.runs, model, self.data, transform, devices)
        self._first, self._draws = self.programs.start(self.runs, (self.data,))

    def start(self) -> Carry:
        """Return the initial carry, the input of the first step."""
        return self._first

    def restore(self, carry: Tree, step: int) -> Carry:
        """Place numpy arrays [runs, ...] on the devices, the last run repeated until every place has one."""
        missing = -self.count % self.places

        def pad(leaf: np.ndarray, like: Array) -> Array:
            rows = np.concatenate([leaf, *[leaf[-1:]] * missing])
            return jax.random.wrap_key_data(jnp.asarray(rows)) if is_key(like) else rows

        return put(jax.tree.map(pad, carry, self._first), self.split)

    def advance(self, carry: Carry, step: int, until: int) -> Iterator[tuple[Carry, int]]:
        """Compute steps `step` to `until`, as many in a launch as take LAUNCH_SECONDS."""
        while step < until:
            end, launched = min(until, step + self.stride), time.monotonic()
            shared = self.data, *put((np.int32(step), np.int32(end)), self.replicated)
            carry = jax.block_until_ready(self.programs.launch((self.runs, carry, self._draws), shared))
            seconds_per_step = (time.monotonic() - launched) / (end - step)
            step = end
            if not is_distributed():  # the processes' clocks differ, and their launches must not
                self.stride = max(1, min(2 * self.stride, int(LAUNCH_SECONDS / seconds_per_step)))
            yield carry, step

    def evaluate(self, carry: Carry) -> Output:
        """Return the network's output for the probes."""
        output: Output = self.programs.evaluate((self.runs, carry), (self.data,))
        return output
