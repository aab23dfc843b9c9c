"""The network interface, the registry of networks, and the functions that call them.

This is the one file that knows flax.linen's calling conventions: `init` returns a dictionary of collections, `apply`
takes one, a dropout key is passed as `rngs`, and updated statistics come back when `mutable` names them. Everything
else sees a network as two functions of plain nested dictionaries, `initialise` and `forward`. To use another library,
give its modules these two functions here.

Arrays: params {"trunk": {...}, "head": {...}}, learned by gradients; stats {"batch_stats": {...}}, all other
collections, updated by passes in training mode.
"""

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from da_bench.core.config import Registry, UserError, did_you_mean, snake_case
from da_bench.core.trees import KeyPath
from da_bench.core.types import Array, Output, Tree

MODELS: Registry[type["Network"]] = Registry("model")
Precision = Literal["float32", "tensorfloat32", "bfloat16"]
MATMUL_PRECISION = {"float32": "highest", "tensorfloat32": "tensorfloat32", "bfloat16": "bfloat16"}  # in jax's terms


class Network(nn.Module, abc.ABC):
    """Base class of all networks: inputs [n, ...] -> Output(features [n, d], logits [n, classes]).

    The fields of a subclass are its architecture and become part of an experiment's config.

    Attributes:
        classes: number of classes, filled in from the task.
        STAGES: prefixes of the names of the trunk's parts, from the inputs upwards; used to give parts of the network
            their own learning rate, see `stage_numbers`. () for a network without a trunk.
    """

    STAGES: ClassVar[tuple[str, ...]] = ()

    classes: int = dataclasses.field(default=0, kw_only=True)

    @abc.abstractmethod
    def __call__(self, inputs: Array, train: bool) -> Output:
        """Compute features and logits.

        Args:
            inputs: [n, ...].
            train: True: dropout is on and batch normalisation uses the batch's own statistics.
        """

    @abc.abstractmethod
    def classify(self, features: Array) -> Array:
        """Logits [n, classes] of features [n, d]."""


def register(cls: type[Network]) -> type[Network]:
    """Register a network under its class name in snake case (class decorator)."""
    MODELS.add(snake_case(cls.__name__), cls)
    return cls


def describe(model: Network) -> dict[str, Any]:
    """The network's registered name and the values of its fields; can be written as JSON."""
    return {"name": snake_case(type(model).__name__), **{name: getattr(model, name) for name in _field_names(model)}}


def build(name: str, **architecture: Any) -> Network:
    """Build a network by name, the inverse of `describe`.

    Args:
        name: registered name, such as "resnet50".
        architecture: values of the network's fields.

    Raises:
        UserError: there is no such network or field.
    """
    cls = MODELS[name]
    known = _field_names(cls)
    for field in architecture:
        if field not in known:
            raise UserError(f"model '{name}' has no field '{field}'{did_you_mean(field, known)}")
    return hashable(cls(**architecture))


def hashable(model: Network) -> Network:
    """The same network with tuples in place of lists, so that it can be a static argument of a jitted function."""
    values = {name: getattr(model, name) for name in _field_names(model)}
    tuples: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return model.clone(**tuples) if tuples else model


def _field_names(model: Network | type[Network]) -> list[str]:
    """Names of the fields that describe the architecture; `parent` and `name` are flax's own."""
    return [field.name for field in dataclasses.fields(model) if field.name not in ("parent", "name", "classes")]


def initialise(model: Network, key: Array, example: Array) -> tuple[Tree, Tree]:
    """Draw initial parameters and statistics.

    Args:
        model: the network, with `classes` set.
        key: random key.
        example: [n, ...] inputs of the right shape and type; their values do not matter.

    Returns:
        (params, stats).
    """
    variables = dict(model.init(jnp.asarray(key), jnp.asarray(example), train=False))
    return variables.pop("params"), variables


def forward(
    model: Network,
    params: Tree,
    stats: Tree,
    inputs: Array,
    key: Array | None = None,
    precision: Precision = "float32",
) -> tuple[Output, Tree]:
    """Run the network on a batch.

    Args:
        model: the network.
        params: its parameters.
        stats: its statistics.
        inputs: [n, ...].
        key: random key for dropout: the pass is in training mode. None: the pass is in evaluation mode.
        precision: "float32": full precision, whatever the device's default is. "tensorfloat32": matrix products of
            10-bit fractions, on devices that have them. "bfloat16": parameters and activations with 8-bit fractions.
            Parameters, statistics and outputs keep their type, and so does the optimizer.

    Returns:
        The output, and the statistics: updated in training mode, else `stats`.
    """
    apply: Any = model.apply  # its return type depends on `mutable`
    if precision == "bfloat16":
        params, inputs = _cast((params, inputs), jnp.float32, jnp.bfloat16)
    variables = {"params": params, **stats}
    with jax.default_matmul_precision(MATMUL_PRECISION[precision]):
        if key is None:
            output, updated = apply(variables, inputs, train=False), {}
        else:
            output, updated = apply(variables, inputs, train=True, rngs={"dropout": key}, mutable=list(stats))
    return _cast(output, jnp.bfloat16, jnp.float32), {**stats, **updated}


def _cast(tree: Tree, old: Any, new: Any) -> Tree:
    """Cast leaves of one type to another; others stay."""
    return jax.tree.map(lambda leaf: leaf.astype(new) if leaf.dtype == old else leaf, tree)


def output_shapes(model: Network, params: Tree, stats: Tree, example: Array) -> Output:
    """Shapes and types of the output for inputs like `example` [n, ...]. The network is not run."""
    return jax.eval_shape(lambda p, s, x: forward(model, p, s, x)[0], params, stats, example)


def head_mask(model: Network, params: Tree, features: Array) -> Tree:
    """Mask of the classifier's parameters: those that `Network.classify` uses.

    Args:
        model: the network.
        params: its parameters.
        features: any array shaped like the network's features [n, d].

    Returns:
        A tree like `params` of bools.
    """
    example = jax.ShapeDtypeStruct(features.shape, features.dtype)
    used = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, method="classify"), example)["params"]
    paths = {path for path, _ in jax.tree_util.tree_leaves_with_path(used)}
    return jax.tree_util.tree_map_with_path(lambda path, _: path in paths, params)


def batch_norm_mask(params: Tree, stats: Tree) -> Tree:
    """Mask of the scales and biases of batch-normalisation layers: a tree like `params` of bools."""
    layers = {path[:-1] for path, _ in jax.tree_util.tree_leaves_with_path(stats.get("batch_stats", {}))}
    return jax.tree_util.tree_map_with_path(lambda path, _: path[:-1] in layers, params)


def batch_norm_inputs(model: Network, params: Tree, stats: Tree, inputs: Array) -> dict[KeyPath, tuple[Array, float]]:
    """Run the network in evaluation mode and record what enters its batch-normalisation layers.

    Args:
        model: the network.
        params: its parameters.
        stats: its statistics.
        inputs: [n, ...].

    Returns:
        By path of the layer: its input [..., channels] and its epsilon.
    """
    recorded: dict[KeyPath, tuple[Array, float]] = {}

    def record(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        if context.method_name == "__call__" and "BatchNorm" in type(context.module).__name__:
            recorded[context.module.path] = arguments[0], context.module.epsilon
        return call(*arguments, **keywords)

    with nn.intercept_methods(record):
        forward(model, params, stats, inputs)
    return recorded


def stage_numbers(model: Network, tree: Tree) -> Tree:
    """Stage of every array of the network, counted from 0 at the inputs.

    Arrays outside the trunk belong to the last stage, see `last_stage`. A network without a trunk has two stages: its
    classifier is stage 1, the rest stage 0.

    Args:
        model: the network.
        tree: a tree of its parameters or statistics.

    Returns:
        A tree like `tree` of ints.
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: _stage(model, [step.key for step in path]), tree)


def last_stage(model: Network) -> int:
    """Number of a network's last stage."""
    return len(model.STAGES) or 1


def _stage(model: Network, names: list[str]) -> int:
    if not model.STAGES:
        return int("head" in names)
    if "trunk" not in names:
        return last_stage(model)
    part = names[names.index("trunk") + 1]
    matching = [i for i, prefix in enumerate(model.STAGES) if part.startswith(prefix)]
    if not matching:
        raise ValueError(f"{type(model).__name__}.STAGES has no stage for '{part}'")
    return max(matching, key=lambda i: len(model.STAGES[i]))
