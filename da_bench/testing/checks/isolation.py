"""Checks that a run depends on its arguments alone: no target labels, no hidden randomness, no host, no device."""

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from da_bench import training as train
from da_bench.core.config import as_dict, float_fields
from da_bench.core.types import Array, Batch, Task, TrainState, Tree
from da_bench.methods.source_only import SourceOnly
from da_bench.testing import problem
from da_bench.testing.base import CheckSkipped, check, require
from da_bench.testing.method_under_test import (
    FAST_COMPILE,
    SEEDS,
    MethodUnderTest,
    Trace,
    compiled,
    equal_bits,
    make_trainer,
    on_device,
    problem_task,
    random_batch,
    relative_difference,
    train_long,
)
from da_bench.testing.problem import CLASSES, PROBES

DOUBLE_TOLERANCE = 1e-9  # of a step between sums in another order, in double precision


@check("deep")
def target_labels_cannot_reach_it(under_test: MethodUnderTest) -> None:
    """A method that `skip` shows right or wrong target labels (a study shows none) starts and steps the same."""
    states, traces = [], []
    for task in (problem_task(True), _with_wrong_target_labels(problem_task(True))):
        method: Any = under_test.cls(**under_test.fields)
        method.skip(task)
        rows = len(task.target.train.labels)
        # not `under_test.state`, whose compiled function equal methods share
        states.append(train.init_state(jax.random.key(0), method, make_trainer(), jnp.zeros((8, 2)), rows))
        traces.append(under_test.traced(method))
    require(equal_bits(*states), "the initial state changes with the target's labels")
    require(_equal_traces(*traces), "a step changes with the target's labels")


def _with_wrong_target_labels(task: Task) -> Task:
    wrong = [part._replace(labels=(part.labels + 1) % CLASSES) for part in task.target]
    return dataclasses.replace(task, target=type(task.target)(*wrong))


def _equal_traces(first: Trace, second: Trace) -> bool:
    """Whether two traces are the same operations on the same arrays."""
    return (
        first.operations == second.operations
        and len(first.arrays) == len(second.arrays)
        and equal_bits(first.arrays, second.arrays)
    )


@check("deep")
def same_seed_same_bits(under_test: MethodUnderTest) -> None:
    """Two steps from one state are equal, and so are two traces: all randomness comes from the key."""
    first, again = (under_test.step(random_batch()) for _ in range(2))
    require(equal_bits(first, again), "two steps from one state differ")
    require(
        _equal_traces(*(under_test.traced() for _ in range(2))),
        "two traces differ: randomness that does not come from the key",
    )


@check("deep")
def uses_no_key_twice(under_test: MethodUnderTest) -> None:
    """No key is used for two draws, according to JAX's own checker."""
    with jax.debug_key_reuse(True):
        step = jax.jit(
            lambda state, batch: under_test.method.step(make_trainer(), state, batch), compiler_options=FAST_COMPILE
        )
        step(under_test.state(), random_batch())


@check("deep")
def calls_nothing_from_a_step(under_test: MethodUnderTest) -> None:
    """A compiled step does not call Python; tracing it opens no file and no connection."""
    under_test.traced(SourceOnly())  # opens what JAX opens on first use
    with _watched_accesses() as accesses:
        operations = under_test.traced().operations
    require("callback" not in operations, "the step calls back into Python: it cannot run on a device alone")
    require(not accesses, f"tracing the step opens {', '.join(sorted(set(accesses))[:3])}")


_WATCHERS: list[list[str]] = []


@contextmanager
def _watched_accesses() -> Iterator[list[str]]:
    """Paths that this process opens, except Python's own, and addresses that it connects to, inside the context."""
    if not getattr(_watched_accesses, "hooked", False):
        sys.addaudithook(_audit)  # an audit hook cannot be removed
        _watched_accesses.hooked = True  # type: ignore[attr-defined]
    _WATCHERS.append([])
    try:
        yield _WATCHERS[-1]
    finally:
        _WATCHERS.pop()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _WATCHERS:
        return
    if event == "open" and isinstance(arguments[0], str) and not _is_allowed_path(arguments[0]):
        _WATCHERS[-1].append(arguments[0])
    elif event in ("socket.connect", "socket.getaddrinfo"):
        _WATCHERS[-1].append(str(arguments[-1]))


def _is_allowed_path(path: str) -> bool:
    """Whether it is Python's own, or in JAX's cache of programs, which is written while others are traced."""
    cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return path.endswith((".py", ".pyc", ".so")) or bool(cache and path.startswith(cache))


@check("deep")
def compiles_once_and_stays_on_the_device(under_test: MethodUnderTest) -> None:
    """Other values of float fields use the same program, which moves nothing between host and device."""
    fields = as_dict(under_test.method).items()
    static = [name for name, value in fields if isinstance(value, float) and name not in float_fields(under_test.cls)]
    require(not static, f"{', '.join(static)} is not an array leaf: annotate it as a float, such as NonNegative")
    data, seeds = on_device(problem.gathered(problem_task(True))), jnp.arange(SEEDS)
    under_test.trained()
    leaves, structure = jax.tree.flatten(under_test.method)
    halved = jax.tree.map(jnp.asarray, jax.tree.unflatten(structure, [0.5 * leaf for leaf in leaves]))
    programs = train_long._cache_size()
    with jax.transfer_guard("disallow"):
        jax.block_until_ready(train_long(seeds, halved, data))
    require(train_long._cache_size() == programs, "other values of its float fields are compiled again")


@check("deep")
def seeds_and_devices_do_not_change_a_run(under_test: MethodUnderTest) -> None:
    """In double precision, a step of two runs together, each on two devices, equals their steps alone on one."""
    if len(jax.devices()) < 4:
        raise CheckSkipped("needs 4 devices: `da-bench check` and the project's tests have them")
    with jax.enable_x64(True):
        method, batch = jax.tree.map(jnp.asarray, under_test.method), _in_double(random_batch())
        states = [_in_double(under_test.state(seed=seed)) for seed in (0, 1)]
        alone = [under_test.step(batch, method, state) for state in states]
        stacked = (train.stack_runs(states, 2),)
        spread = train.over_runs(_spread_step, jax.devices()[:4], None, 2).lower(stacked, (method, batch))
        together = spread.compile(FAST_COMPILE)(stacked, (method, batch))
        difference = relative_difference(train.stack_runs(alone, 1), together)
    require(difference < DOUBLE_TOLERANCE, f"a step differs by {difference:.1e} from that of a run computed alone")


def _in_double(tree: Tree) -> Tree:
    def cast(leaf: Array) -> Array:
        is_single = not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) and leaf.dtype == jnp.float32
        return jnp.asarray(leaf, jnp.float64) if is_single else leaf

    return jax.tree.map(cast, tree)


def _spread_step(state: TrainState, method: Any, batch: Batch) -> Any:
    return method.step(make_trainer(), state, train.shard_batch(batch))


@check("deep")
def predictions_belong_to_their_rows(under_test: MethodUnderTest) -> None:
    """The prediction of a row depends neither on the rows around it nor on their number."""
    state, _ = under_test.step(random_batch())
    inputs, flags = jnp.asarray(problem_task(True).target.test.inputs), jnp.ones(PROBES, bool)
    variables = under_test.method.inference_variables(state)
    order = np.random.default_rng(0).permutation(PROBES)
    predict = compiled(lambda variables, request: train.predict(make_trainer(), variables, request).logits)
    in_order, permuted, few = (
        predict(variables, train.PredictRequest(inputs, jnp.asarray(rows), flags[: len(rows)]))
        for rows in (np.arange(PROBES), order, order[:7])
    )
    require(relative_difference(in_order[order], permuted) < 1e-5, "predictions change with the order of the rows")
    require(relative_difference(in_order[order[:7]], few) < 1e-5, "predictions change with the number of rows")
    again = predict(
        under_test.method.inference_variables(state), train.PredictRequest(inputs, jnp.arange(PROBES), flags)
    )
    require(equal_bits(in_order, again), "inference_variables of one state are not always the same")
