"""A method under test, and the trainings of it that several checks look at; each program is compiled once."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.core.types import Array, Batch, Output, Task, TrainState, Tree
from da_bench.methods import ClassicalMethod, Method, Trainer
from da_bench.methods.source_only import SourceOnly
from da_bench.testing import problem
from da_bench.testing.problem import CLASSES, LONG, NETWORK, PROBES, SHORT
from da_bench.training import step as train

SEEDS = 4
# compare only what is so compiled with what is: square roots in double precision are then but single ones
QUICKLY: Any = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


Traced = tuple[str, list[np.ndarray]]


class Subject:
    """What the checks are made of. method: of its defaults but for what it says it is checked with."""

    def __init__(self, cls: type[Method] | type[ClassicalMethod]) -> None:
        self.cls = cls
        self.fields: Mapping[str, Any] = cls.metadata.check_overrides
        self.method: Any = cls(**self.fields)
        self.deep = isinstance(self.method, Method)

    def trained(self, moved: bool = True, **fields: Any) -> train.Finished:
        """After a long training, [seeds, ...]; moved: whether the domains differ."""
        return self._trained(moved, tuple(sorted(fields.items())))

    @functools.cache  # noqa: B019  (a subject lives as long as its checks)
    def _trained(self, moved: bool, fields: tuple[tuple[str, Any], ...]) -> train.Finished:
        method = jax.tree.map(jnp.asarray, self.cls(**{**self.fields, **dict(fields)}))
        return long(jnp.arange(SEEDS), method, on_device(problem.gathered(given(moved))))

    def state(self, method: Any = None, targets: int = 8, seed: int = 0) -> TrainState:
        """Before the first step."""
        return _state(method or self.method, targets, seed)

    def step(self, one: Batch, method: Any = None, state: TrainState | None = None) -> Any:
        """(state, metrics) after a step."""
        method = method or self.method
        return _step(method, state or self.state(method, targets=max(8, len(one.target))), one)

    def traced(self, method: Any = None) -> Traced:
        """A step, traced anew: its operations, and the arrays that are part of them."""
        method, state = method or self.method, self.state(method)
        found = jax.make_jaxpr(lambda state, one: method.step(make_trainer(), state, one))(state, batch())
        return str(found.jaxpr), [np.asarray(each) for each in found.consts]


def compiled(fn: Callable[..., Any]) -> Any:
    """jax.jit, whose machine code is made quickly: what is computed is small."""
    return jax.jit(fn, compiler_options=QUICKLY)


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICKLY)
def _state(method: Method, targets: int, seed: int) -> TrainState:
    return train.init(jax.random.key(seed), method, make_trainer(), jnp.zeros((8, 2)), targets)


@compiled
def _step(method: Method, state: TrainState, one: Batch) -> Any:
    return method.step(make_trainer(), state, one)


@compiled
@functools.partial(jax.vmap, in_axes=(0, None, None))
def long(seed: Array, method: Method, data: train.Data) -> train.Finished:
    """Several seeds, trained for long in single precision, side by side."""
    return train.run(jax.random.key(seed), method, LONG, NETWORK, data)


@functools.cache
def given(moved: bool) -> Task:
    """The problem, or the same with equal domains."""
    return problem.task(moved)


@functools.cache
def source_only(moved: bool) -> train.Finished:
    """What the method is read against."""
    return long(jnp.arange(SEEDS), SourceOnly(), on_device(problem.gathered(given(moved))))


def on_device(data: train.Data) -> train.Data:
    """Its arrays as JAX's."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data)


def make_trainer() -> Trainer:
    """Of the problem's network."""
    return Trainer(NETWORK, SHORT.optimiser(), SHORT.steps)


def batch(source: int = 8, target: int = 8, seed: int = 0) -> Batch:
    """A draw of so many rows of each domain, the classes in turn."""
    rng = np.random.default_rng(seed)
    ours, theirs = problem.clusters(rng, source), problem.clusters(rng, target, True)
    return Batch(*map(jnp.asarray, (*ours, theirs.inputs, np.arange(target, dtype=np.int32))))


def accuracy(finished: train.Finished, domain: str = "target") -> float:
    """Mean over the seeds, on a test set, after the last step."""
    rows = slice(PROBES) if domain == "source" else slice(PROBES, None)
    predicted = np.asarray(finished.logits)[:, -1, rows].argmax(axis=2)
    return float((predicted == np.arange(PROBES) % CLASSES).mean())


def discrepancy(method: Any, finished: train.Finished) -> float:
    """Mean over the seeds of what the method says that adapting lowers, on both test sets."""
    features, logits = np.asarray(finished.features), np.asarray(finished.logits)[:, -1]
    gaps = [
        method.discrepancy(Output(f[:PROBES], z[:PROBES]), Output(f[PROBES:], z[PROBES:]))
        for f, z in zip(features, logits, strict=True)
    ]
    return float(np.mean(gaps))


def finite(tree: Tree) -> bool:
    """Whether every number in it is."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in leaves)


def same(one: Tree, other: Tree) -> bool:
    """Whether both are equal to the last bit."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(_numbers(a), _numbers(b)) for a, b in pairs)


def apart(one: Tree, other: Tree) -> float:
    """The largest difference between their numbers, relative to those larger than 1."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max((_apart(_numbers(a), _numbers(b)) for a, b in pairs), default=0.0)


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(a)), initial=0.0))


def _numbers(leaf: Any) -> np.ndarray:
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    numbers = np.asarray(jax.random.key_data(leaf) if key else leaf)
    return numbers.astype(int) if numbers.dtype == bool else numbers
