"""What a network is, the names of all of them, and the one function that knows flax."""

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from da_bench.core.config import Registry, UserError, did_you_mean, snake_case
from da_bench.core.types import Array, Output, Tree

MODELS: Registry[type["Network"]] = Registry("model")


class Network(nn.Module, abc.ABC):
    """inputs [n, ...] -> Output(features [n, d], logits [n, classes]); its fields are its architecture.

    `classes` is filled in from the task.
    """

    STAGES: ClassVar[tuple[str, ...]] = ()  # of a trunk: how names of its parts begin, from the inputs upwards

    classes: int = dataclasses.field(default=0, kw_only=True)

    @abc.abstractmethod
    def __call__(self, inputs: Array, train: bool) -> Output:
        """Features and logits; `train` switches dropout and batch statistics."""

    @abc.abstractmethod
    def classify(self, features: Array) -> Array:
        """Logits [n, classes] of features [n, d]."""


def register(cls: type[Network]) -> type[Network]:
    """Make the network known by its class name in snake case."""
    MODELS.add(snake_case(cls.__name__), cls)
    return cls


def describe(model: Network) -> dict[str, Any]:
    """The network's registered name and architecture, JSON-able."""
    return {"name": snake_case(type(model).__name__), **{name: getattr(model, name) for name in _fields(model)}}


def hashable(model: Network) -> Network:
    """The same network, by which programs can be told apart: with tuples where it was given lists."""
    given = {name: getattr(model, name) for name in _fields(model)}
    lists: dict[str, Any] = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    return model.clone(**lists) if lists else model


def _fields(model: Network | type[Network]) -> list[str]:
    """Of its architecture."""
    return [field.name for field in dataclasses.fields(model) if field.name not in ("parent", "name", "classes")]


def build(name: str, **architecture: Any) -> Network:
    """The inverse of `describe`; an unknown name or field raises UserError."""
    cls = MODELS[name]
    known = _fields(cls)
    for field in architecture:
        if field not in known:
            raise UserError(f"model '{name}' has no field '{field}'{did_you_mean(field, known)}")
    return hashable(cls(**architecture))


def initialise(model: Network, key: Array, example: Array) -> tuple[Tree, Tree]:
    """(params, stats) for inputs shaped like `example` [n, ...]."""
    variables = dict(model.init(jnp.asarray(key), jnp.asarray(example), train=False))
    return variables.pop("params"), variables


Precision = Literal["float32", "tensorfloat32", "bfloat16"]


def forward(
    model: Network,
    params: Tree,
    stats: Tree,
    inputs: Array,
    key: Array | None = None,
    precision: Precision = "float32",
) -> tuple[Output, Tree]:
    """One pass over inputs [n, ...]: (output, updated stats). A dropout `key` means training mode, none evaluation.

    precision: float32 in full, whatever the device's own default is; tensorfloat32, products of 10-bit fractions where
    a device has them; bfloat16, parameters and activations in 8-bit fractions. Parameters, statistics and the output
    are what they were, so are all sums of the optimizer.
    """
    apply: Any = model.apply  # its type depends on `mutable`
    if precision == "bfloat16":
        params, inputs = _halved(params), _halved(inputs)
    with jax.default_matmul_precision(PRODUCTS[precision]):
        if key is None:
            output = apply({"params": params, **stats}, inputs, train=False)
            return _restored(output), stats
        variables = {"params": params, **stats}
        output, updated = apply(variables, inputs, train=True, rngs={"dropout": key}, mutable=list(stats))
    return _restored(output), {**stats, **updated}


def head_mask(model: Network, params: Tree, features: Array) -> Tree:
    """Like params, bools: which of them `classify` uses; features: shaped like the network's [n, d]."""
    like = jax.ShapeDtypeStruct(features.shape, features.dtype)
    own = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, method="classify"), like)["params"]
    paths = {path for path, _ in jax.tree_util.tree_leaves_with_path(own)}
    return jax.tree_util.tree_map_with_path(lambda path, _: path in paths, params)


def batch_norm_mask(params: Tree, stats: Tree) -> Tree:
    """Like params, bools: which are the scales and shifts of layers that keep batch statistics."""
    layers = {path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(stats.get("batch_stats", {}))}
    return jax.tree_util.tree_map_with_path(lambda path, _: path[:-1] in layers, params)


def stage_numbers(model: Network, tree: Tree) -> Tree:
    """Like a tree of the network's arrays, parameters or statistics, ints: the stage of each, 0 at the inputs.

    All that is no part of a trunk is the last stage, whose number is `top_stage`. A network without a trunk has two:
    its classifier, and the rest.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: _stage(model, [step.key for step in path]), tree)


def last_stage(model: Network) -> int:
    """The number of a network's last stage."""
    return len(model.STAGES) or 1


def _stage(model: Network, names: list[str]) -> int:
    if not model.STAGES:
        return int("head" in names)
    if "trunk" not in names:
        return last_stage(model)
    part = names[names.index("trunk") + 1]
    fits = [i for i, beginning in enumerate(model.STAGES) if part.startswith(beginning)]
    if not fits:
        raise ValueError(f"{type(model).__name__}.STAGES has no stage for '{part}'")
    return max(fits, key=lambda i: len(model.STAGES[i]))


PRODUCTS = {"float32": "highest", "tensorfloat32": "tensorfloat32", "bfloat16": "bfloat16"}


def _halved(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16) if leaf.dtype == jnp.float32 else leaf, tree)


def _restored(output: Output) -> Output:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.bfloat16 else leaf, output)


def output_shapes(model: Network, params: Tree, stats: Tree, example: Array) -> Output:
    """Shapes and types of the output for inputs like `example`, computed without running the network."""
    return jax.eval_shape(lambda p, s, x: forward(model, p, s, x)[0], params, stats, example)
