"""A method under test, and its trainings, which several checks share; each program is compiled once."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from da_bench import training as train
from da_bench.core.types import Array, Batch, Output, Task, TrainState, Tree
from da_bench.methods import ClassicalMethod, Method, Trainer
from da_bench.methods.source_only import SourceOnly
from da_bench.testing import problem
from da_bench.testing.problem import CLASSES, LONG, NETWORK, PROBES, SHORT

SEEDS = 4
# Never compare programs with and without these options: with them, square roots in double precision are single ones.
FAST_COMPILE: Any = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


class Trace(NamedTuple):
    """A traced step: its operations as text, and the arrays that are part of them."""

    operations: str
    arrays: list[np.ndarray]


class MethodUnderTest:
    """A method with its default fields, except those in `check_overrides` of its metadata.

    Args:
        cls: a method class.
    """

    def __init__(self, cls: type[Method] | type[ClassicalMethod]) -> None:
        self.cls = cls
        self.fields: Mapping[str, Any] = cls.metadata.check_overrides
        self.method: Any = cls(**self.fields)
        self.is_deep = isinstance(self.method, Method)

    def trained(self, moved: bool = True, **fields: Any) -> train.TrainedRun:
        """The result of a long training with `SEEDS` seeds, [seeds, ...]; moved: whether the domains differ."""
        return self._trained(moved, tuple(sorted(fields.items())))

    @functools.cache  # noqa: B019  (it lives as long as its checks)
    def _trained(self, moved: bool, fields: tuple[tuple[str, Any], ...]) -> train.TrainedRun:
        method = jax.tree.map(jnp.asarray, self.cls(**{**self.fields, **dict(fields)}))
        return train_long(jnp.arange(SEEDS), method, on_device(problem.gathered(problem_task(moved))))

    def state(self, method: Any = None, num_targets: int = 8, seed: int = 0) -> TrainState:
        """The state before the first step."""
        return _init_state(method or self.method, num_targets, seed)

    def step(self, batch: Batch, method: Any = None, state: TrainState | None = None) -> Any:
        """(state, metrics) after one step."""
        method = method or self.method
        return _step(method, state or self.state(method, num_targets=max(8, len(batch.target))), batch)

    def traced(self, method: Any = None) -> Trace:
        """A new trace of a step."""
        method, state = method or self.method, self.state(method)
        jaxpr = jax.make_jaxpr(lambda state, batch: method.step(make_trainer(), state, batch))(state, random_batch())
        return Trace(str(jaxpr.jaxpr), [np.asarray(each) for each in jaxpr.consts])


def compiled(fn: Callable[..., Any]) -> Any:
    """`jax.jit` with options for a short compilation, for small computations."""
    return jax.jit(fn, compiler_options=FAST_COMPILE)


@functools.partial(jax.jit, static_argnums=1, compiler_options=FAST_COMPILE)
def _init_state(method: Method, num_targets: int, seed: int) -> TrainState:
    return train.init_state(jax.random.key(seed), method, make_trainer(), jnp.zeros((8, 2)), num_targets)


@compiled
def _step(method: Method, state: TrainState, batch: Batch) -> Any:
    return method.step(make_trainer(), state, batch)


@compiled
@functools.partial(jax.vmap, in_axes=(0, None, None))
def train_long(seed: Array, method: Method, data: train.Data) -> train.TrainedRun:
    """Train several seeds together for `LONG`, in single precision."""
    return train.train_run(jax.random.key(seed), method, LONG, NETWORK, data)


@functools.cache
def problem_task(moved: bool) -> Task:
    """The test problem, or the same with equal domains."""
    return problem.task(moved)


@functools.cache
def source_only(moved: bool) -> train.TrainedRun:
    """Source-only training on the test problem, the reference."""
    return train_long(jnp.arange(SEEDS), SourceOnly(), on_device(problem.gathered(problem_task(moved))))


def on_device(data: train.Data) -> train.Data:
    """The data with its arrays as JAX arrays."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)


def make_trainer() -> Trainer:
    """The trainer of the test problem's network."""
    return Trainer(NETWORK, SHORT.make_optimizer(), SHORT.steps)


def random_batch(num_source: int = 8, num_target: int = 8, seed: int = 0) -> Batch:
    """A batch of the test problem, with the classes in turn."""
    rng = np.random.default_rng(seed)
    source, target = problem.clusters(rng, num_source), problem.clusters(rng, num_target, True)
    return Batch(*map(jnp.asarray, (*source, target.inputs, np.arange(num_target, dtype=np.int32))))


def accuracy(finished: train.TrainedRun, domain: str = "target") -> float:
    """Accuracy in [0, 1] on a domain's test set after the last step, averaged over the seeds."""
    rows = slice(PROBES) if domain == "source" else slice(PROBES, None)
    predicted = np.asarray(finished.logits)[:, -1, rows].argmax(axis=2)
    return float((predicted == np.arange(PROBES) % CLASSES).mean())


def discrepancy(method: Any, finished: train.TrainedRun) -> float:
    """The method's discrepancy between both test sets after the last step, averaged over the seeds."""
    features, logits = np.asarray(finished.features), np.asarray(finished.logits)[:, -1]
    values = [
        method.discrepancy(Output(f[:PROBES], z[:PROBES]), Output(f[PROBES:], z[PROBES:]))
        for f, z in zip(features, logits, strict=True)
    ]
    return float(np.mean(values))


def all_finite(tree: Tree) -> bool:
    """Whether all floats of a tree are finite."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def equal_bits(first: Tree, second: Tree) -> bool:
    """Whether two trees are equal to the last bit."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.array_equal(_as_numbers(a), _as_numbers(b)) for a, b in pairs)


def relative_difference(first: Tree, second: Tree) -> float:
    """The largest difference between two trees, relative to values larger than 1."""
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    differences = [
        float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(a)), initial=0.0))
        for a, b in ((_as_numbers(a), _as_numbers(b)) for a, b in pairs)
    ]
    return max(differences, default=0.0)


def _as_numbers(leaf: Any) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    numbers = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return numbers.astype(int) if numbers.dtype == bool else numbers
