"""Training: a run is a pure function of its key, and many runs are one compiled program.

Nothing here knows a target label: `run` is handed the source `Domain` and the target's inputs.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, PartitionSpec

from da_bench.core.config import Count, Fraction, NonNegative, Positive, UserError, config_dataclass, field
from da_bench.core.trees import merge_pretrained
from da_bench.core.types import Array, Batch, Domain, Output, TrainState, Tree, named_key
from da_bench.data.lazy_arrays import pool
from da_bench.data.transforms import View, evaluation_input, training_input
from da_bench.methods import BatchNorm, Method, MethodSpec, Trainer
from da_bench.models import Network, Precision, initialise, output_shapes

# Inputs in one evaluation pass, at most: bounds the memory of convolutions over a test set. What they make of 32
# digits stays in the caches of a CPU, where 1000 take two to three times as long; an accelerator wants many.
EVALUATION_CHUNKS = {"cpu": 32}
EVALUATION_CHUNK = 1000
EVALUATION_NUMBERS = 2**22  # values in all of them, at most: 27 images of 224 pixels


@config_dataclass
class Training:
    """How long and how a run trains.

    steps: updates in all. evaluations: how many times, evenly, the run is looked at; divides steps. batch_size: rows
    of each domain in a step; None: all of them. learning_rate: mu_0 a step. decay_rate a, decay_power b: the rate at
    progress p is mu_0 / (1 + a p)^b, by default DANN's (Ganin et al., JMLR 2016, Section 5.2.2); a = 0 is constant. Of
    suites that count steps i, mu_0 / (1 + gamma i)^b whatever the length, a is gamma steps: of TLlib's gamma, 0.001 or
    0.0003, it is the paper's 10 in a run of 10000 or 33333 steps, and next to constant in a short one.
    momentum: of "sgd" and "nesterov". weight_decay: added to the gradient before the momentum, as in SGD papers.
    precision: of what the network computes, see `models.forward`; alignment terms and parameters are always float32.
    batch_norm: how batch normalisation treats the two domains of a step, see `Trainer.forward_domains`. trunk_rate:
    what the learning rate of a trunk is multiplied by; papers that start from ImageNet's weights have 0.1, said as
    "the new layers learn ten times as fast".
    """

    steps: Count = 1000
    evaluations: Count = 10
    batch_size: Count | None = 64
    optimizer: Literal["sgd", "nesterov", "adam"] = "sgd"
    learning_rate: Positive = 0.01
    decay_rate: NonNegative = 10.0
    decay_power: NonNegative = 0.75
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0
    precision: Precision = "float32"
    batch_norm: BatchNorm = "joint"
    trunk_rate: NonNegative = field(default=1.0, since="0.1")

    def __post_init__(self) -> None:
        if self.steps % self.evaluations:
            raise UserError(f"Training.evaluations = {self.evaluations} must divide steps = {self.steps}")

    def optimiser(self, frozen: bool = False, restart_at: Array | float | None = None) -> optax.GradientTransformation:
        """The optax chain of these settings; frozen: the trunk stays to the bit; restart_at: see Method."""

        def rate(step: Array) -> Array:
            decay = (
                self.decay_rate * step / self.steps
                if restart_at is None
                else self.decay_rate * self._within(step, restart_at)
            )
            return self.learning_rate / (1 + decay) ** self.decay_power

        if self.optimizer == "adam":
            direction = optax.scale_by_adam(b1=self.momentum)
        else:
            direction = optax.trace(self.momentum, nesterov=self.optimizer == "nesterov")
        trunk = optax.stateless(lambda updates, _: _of_trunk(updates, 0.0 if frozen else self.trunk_rate))
        decay = optax.add_decayed_weights(self.weight_decay)
        return optax.chain(decay, direction, trunk, optax.scale_by_learning_rate(rate))

    def _within(self, step: Array, restart_at: Array | float) -> Array:
        """Progress in [0, 1) of the part before the turn, a share of the run, or of the part after it."""
        first = step / self.steps < restart_at
        return (step / self.steps - jnp.where(first, 0.0, restart_at)) / jnp.where(first, restart_at, 1 - restart_at)


def _of_trunk(updates: Tree, rate: Array | float) -> Tree:
    """Updates, those of the network's trunk, if it has one, times the rate."""
    if not isinstance(updates, dict) or "trunk" not in updates.get("model", {}):
        return updates
    model = updates["model"]
    return {**updates, "model": {**model, "trunk": jax.tree.map(lambda update: rate * update, model["trunk"])}}


class Data(NamedTuple):
    """All that a run may see, every input once: inputs [N, ...], and which rows of them are what, int32.

    source [n], with labels [n]; target [m], to train on; probes [p], to predict, and of which of the two domains each
    is, of_target [p] bool. inputs are an array, or, to be streamed, `Joined`. pretrained: arrays that the network
    starts from, {"params": ..., "batch_stats": ...} with any part of its own; the rest starts at random.
    """

    inputs: Any
    source: Array
    labels: Array
    target: Array
    probes: Array
    of_target: Array
    pretrained: Tree = {}  # noqa: RUF012 - of a tuple, which nobody changes


def gather(source: Domain, target: Array, probes: Sequence[Array], of_target: Sequence[bool] = ()) -> Data:
    """The data of a run on a labelled source and target inputs [m, ...] that predicts `probes`, one after another.

    of_target: for each of the probes whether it comes from the target; default: all do.
    Arrays may be `Rows` of larger ones; a row that several of them share is held once, and none is read yet.
    """
    inputs, (rows_source, rows_target, *of_probes) = pool([source.inputs, target, *probes])
    origin = of_target or [True] * len(probes)
    flags = [np.full(len(rows), flag) for rows, flag in zip(of_probes, origin, strict=True)]
    return Data(inputs, rows_source, source.labels, rows_target, np.concatenate(of_probes), np.concatenate(flags))


class Draw(NamedTuple):
    """What one step takes: its number, and rows [b] of the source and [b'] of the target, each counted from 0."""

    step: Array
    source: Array
    target: Array


class Run(NamedTuple):
    """What runs of one program differ in: the key, and float fields of method and training.

    own: fields of `Data` that take the place of those of the other runs: "labels", "pretrained".
    """

    key: Array
    method: Method
    training: Training
    own: Tree = {}  # noqa: RUF012 - of a tuple, which nobody changes


class Carry(NamedTuple):
    """What goes from step to step: the state, and the sums of its metrics since the last evaluation."""

    state: TrainState
    sums: dict[str, Array]


class Finished(NamedTuple):
    """What a run leaves after `e` evaluations.

    state: after the last step; metrics: [e], each the mean over the steps since the evaluation before;
    logits: [e, p, c] of the probes at each evaluation; features: [p, d] of the probes after the last step.
    """

    state: TrainState
    metrics: dict[str, Array]
    logits: Array
    features: Array


def run(
    key: Array, method: Method, training: Training, model: Network, data: Data, view: View | None = None
) -> Finished:
    """Train `model` by `method`: a pure function of its arguments, to be jitted, vmapped and mapped over devices.

    What `engine.drive` does piece by piece, so that nothing is lost when it is killed, in one piece.
    """
    one, step = Run(key, method, training), stepper(model, view)
    every = training.steps // training.evaluations

    def next_step(carry: Carry, draw: Draw) -> tuple[Carry, None]:
        return advance(one, step, carry, draw, take(data, draw)), None

    def segment(carry: tuple[Carry, Array], drawn: Draw) -> tuple[Any, Any]:
        after, _ = jax.lax.scan(next_step, carry[0], drawn)
        asked = Asked(data.inputs, data.probes, data.of_target)
        output = predict(make_trainer(one, model), one.method.inference_variables(after.state), asked, view)
        return (after, output.features), (means(after.sums, every), output.logits)

    first = begin(one, step, model, data, view)
    asked = _example(data, view), jnp.zeros(1, bool)
    expected = jax.eval_shape(
        make_trainer(one, model).predict, *one.method.inference_variables(first.state), *asked
    ).features
    start = first, jnp.zeros((len(data.probes), *expected.shape[1:]), expected.dtype)
    draws = jax.tree.map(
        lambda leaf: leaf.reshape(training.evaluations, every, *leaf.shape[1:]), order(key, training, data)
    )
    (last, features), (metrics, logits) = jax.lax.scan(segment, start, draws)
    return Finished(last.state, metrics, logits, features)


Step = Callable[[Run, TrainState, Draw, Batch], tuple[TrainState, dict[str, Array]]]


def stepper(model: Network, view: View | None) -> Step:
    """One step of any run on what it drew: (state, metrics). A function of its own, so that it is traced once."""

    def step(one: Run, state: TrainState, draw: Draw, stored: Batch) -> tuple[TrainState, dict[str, Array]]:
        with jax.default_matmul_precision("highest"):  # of alignment terms: differences of close covariances
            return one.method.step(make_trainer(one, model), state, see(one.key, view, draw, stored))

    return jax.jit(step, inline=True)


def begin(one: Run, step: Step, model: Network, data: Data, view: View | None) -> Carry:
    """What the first step of a run is handed. Of the data only two inputs are read."""
    state = init(one.key, one.method, make_trainer(one, model), _example(data, view), len(data.target), data.pretrained)
    _, metrics = jax.eval_shape(step, one, state, *drawn_like(one.training, data))
    return Carry(state, jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), metrics))


def advance(one: Run, step: Step, carry: Carry, draw: Draw, stored: Batch) -> Carry:
    """The next step of a run, on what it drew. The sums start anew after an evaluation."""
    state, metrics = step(one, carry.state, draw, stored)
    first = draw.step % (one.training.steps // one.training.evaluations) == 0
    sums = jax.tree.map(lambda total, new: jnp.where(first, 0, total) + new, carry.sums, metrics)
    return Carry(state, sums)


def means(sums: dict[str, Array], steps: int) -> dict[str, Array]:
    """Metrics of one evaluation, from their sums over the `steps` before it."""
    return {name: total / steps for name, total in sums.items()}


def make_trainer(one: Run, model: Network) -> Trainer:
    """What every step of a run is given."""
    settings = one.training
    optimiser = settings.optimiser(frozen=getattr(model, "frozen", False), restart_at=one.method.restart_at)
    return Trainer(model, optimiser, settings.steps, settings.precision, settings.batch_norm)


def _example(data: Data, view: View | None) -> Array:
    return evaluation_input(view, data.inputs[data.source[:2]])


def init(
    key: Array, method: Method, trainer: Trainer, example: Array, targets: int, pretrained: Tree | None = None
) -> TrainState:
    """The state before the first step, for inputs of the network like `example` [n, ...] and so many target rows.

    pretrained: see `Data`.
    """
    model, stats = initialise(trainer.model, named_key(key, "model"), example)
    begun = merge_pretrained({"params": model, **stats}, pretrained or {})
    model, stats = begun.pop("params"), begun
    output = _zeros(output_shapes(trainer.model, model, stats, example))
    model, stats = _default_precision((model, trainer.init_stats(stats)))
    spec = MethodSpec(output, targets, model, named_key(key, "memory"))
    own = _default_precision(method.init(named_key(key, "method"), spec))
    params = {"model": model, "method": own.params}
    opt_state = trainer.optimizer.init(params)
    step = jnp.zeros((), jnp.int32)
    return TrainState(step, params, stats, own.constants, own.memory, opt_state, named_key(key, "steps"))


def _default_precision(tree: Tree) -> Tree:
    """Floats in JAX's own default precision, whatever a network was declared with: x64 makes whole runs double."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.result_type(float)) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def _zeros(output: Output) -> Output:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), output)


def order(key: Array, training: Training, data: Data) -> Draw:
    """Every draw of the run, in its order; leaves [steps, ...]."""
    source = draws(named_key(key, "source order"), len(data.source), training)
    target = draws(named_key(key, "target order"), len(data.target), training)
    return Draw(jnp.arange(training.steps, dtype=jnp.int32), source, target)


def draws(key: Array, n: int, training: Training) -> Array:
    """Rows of every batch of the run: [steps, batch], int32.

    Each epoch is a fresh permutation of the n rows; its last, incomplete batch is dropped.
    """
    size = training.batch_size or n
    per_epoch = n // size
    epochs = -(-training.steps // per_epoch)
    if size == n:  # a whole-domain batch needs no order
        orders = jnp.broadcast_to(jnp.arange(n), (epochs, n))
    else:
        orders = jax.vmap(lambda k: jax.random.permutation(k, n))(jax.random.split(key, epochs))
    return orders[:, : per_epoch * size].reshape(-1, size)[: training.steps]


def take(data: Data, draw: Draw) -> Batch:
    """The rows of a draw as they are stored."""
    inputs, rows = data.inputs, draw.target
    return Batch(inputs[data.source[draw.source]], data.labels[draw.source], inputs[data.target[rows]], rows)


def drawn_like(training: Training, data: Data) -> tuple[Draw, Batch]:
    """Shapes and types of one draw and of what it draws."""
    source, target = (training.batch_size or len(rows) for rows in (data.source, data.target))

    def like(shape: tuple[int, ...], dtype: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    stored = [like((rows, *data.inputs.shape[1:]), data.inputs.dtype) for rows in (source, target)]
    draw = Draw(like((), jnp.int32), like((source,), jnp.int32), like((target,), jnp.int32))
    return draw, Batch(stored[0], like((source,), data.labels.dtype), stored[1], draw.target)


def see(key: Array, view: View | None, draw: Draw, stored: Batch) -> Batch:
    """The rows of a draw as the network trains on them; equal (key, step, row) are augmented alike."""

    def seen(name: str, rows: Array, inputs: Array) -> Array:
        return training_input(view, jax.random.fold_in(named_key(key, name), draw.step), rows, inputs)

    source = seen("source view", draw.source, stored.source)
    return spread(stored._replace(source=source, target=seen("target view", draw.target, stored.target)))


def spread(batch: Batch) -> Batch:
    """The batch, its rows spread over the devices of one run where it has several (the mesh axis "data").

    A hint to the compiler, which adds the communication: whatever a method computes of the whole batch stays the same,
    be it a covariance, a kernel matrix or a batch statistic.
    """
    if jax.sharding.get_abstract_mesh().shape.get("data", 1) == 1:
        return batch
    return jax.tree.map(lambda rows: jax.lax.with_sharding_constraint(rows, PartitionSpec("data")), batch)


class Asked(NamedTuple):
    """What is to be predicted: rows [n] of stored inputs, and whether each comes from the target, [n] bool."""

    inputs: Array
    rows: Array
    of_target: Array


def predict(trainer: Trainer, variables: tuple[Tree, Tree], asked: Asked, view: View | None = None) -> Output:
    """The network's output in evaluation mode, with (parameters, statistics), a chunk of rows after another."""

    def of(places: tuple[Array, Array]) -> Output:
        rows, of_target = places
        return trainer.predict(*variables, evaluation_input(view, asked.inputs[rows]), of_target)

    places, count = (asked.rows, asked.of_target), len(asked.rows)
    chunk = min(evaluation_chunk(asked.inputs, view), count)
    whole = count - count % chunk
    chunks = jax.tree.map(lambda x: x[:whole].reshape(-1, chunk), places)
    output = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), jax.lax.map(of, chunks))
    if whole == count:
        return output
    rest = of(jax.tree.map(lambda x: x[whole:], places))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), output, rest)


def evaluation_chunk(inputs: Array, view: View | None = None) -> int:
    """How many inputs are predicted side by side."""
    numbers = math.prod(inputs.shape[1:]) if view is None else 3 * view.pixels**2
    most = EVALUATION_CHUNKS.get(jax.default_backend(), EVALUATION_CHUNK)
    return max(1, min(most, EVALUATION_NUMBERS // numbers))


def over_runs(
    fn: Callable[..., Tree], devices: Sequence[Any] | None = None, at_once: int | None = None, per_run: int = 1
) -> Any:
    """`mapped(runs, shared)`: `fn(*run, *shared)` for each of the runs stacked along the first axis of `runs`.

    One jitted function; runs are spread over `devices` (default: all), `per_run` devices working on each (see
    `spread`), and at one place `at_once` of them are computed side by side (default: all of its share) and the rest one
    batch after another. `shared` goes to every run. Equal to jax.pmap(jax.vmap(fn)), whose place it takes; runs do not
    communicate. The number of runs must divide by the number of places, devices over `per_run`: `stack` sees to it.
    """
    mesh = mesh_of(devices or jax.devices(), per_run)

    def share(runs: Tree, shared: Tree) -> Tree:
        batch = at_once or _length(runs)
        # a batch of one would be a batch still, whose convolutions and updates in place XLA does not see as such
        return jax.lax.map(lambda one: fn(*one, *shared), runs, batch_size=batch if batch > 1 else None)

    split, whole = PartitionSpec("run"), PartitionSpec()
    # check_vma=False: a scan inside shard_map carries values that start unvarying and become varying
    spread_out = jax.shard_map(
        share, mesh=mesh, in_specs=(split, whole), out_specs=split, axis_names={"run"}, check_vma=False
    )
    return jax.jit(spread_out)


def mesh_of(devices: Sequence[Any], per_run: int) -> Mesh:
    """Axis "run": places at which runs are made; axis "data": the devices of each."""
    shape = len(devices) // per_run, per_run
    return jax.make_mesh(shape, ("run", "data"), (AxisType.Auto,) * 2, devices=devices)


def _length(runs: Tree) -> int:
    return jax.tree.leaves(runs)[0].shape[0]


def stack(trees: Sequence[Tree], places: int) -> Tree:
    """Equal trees stacked along a new first axis, the last one repeated until `places` divides the length."""
    padded = [*trees, *[trees[-1]] * (-len(trees) % places)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)


def make_predictor(run: Run, model: Network, transform: View | None) -> Callable[[tuple[Tree, Tree], Array], Array]:
    """Return a compiled function of (parameters, statistics) and target inputs [n, ...] to logits [n, c].

    Args:
        run: any run of a group.
        model: the network.
        transform: how stored inputs become the network's.
    """
    trainer = make_trainer(run, model)

    @jax.jit
    def predict_target(variables: tuple[Tree, Tree], inputs: Array) -> Array:
        request = Asked(inputs, jnp.arange(len(inputs)), jnp.ones(len(inputs), bool))
        return predict(trainer, variables, request, transform).logits

    return predict_target
