"""One training step, and a whole run of them: pure functions of a run's key.

Nothing here knows a target label: a run is given the labelled source and the target's inputs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from da_bench.core.trees import merge_pretrained
from da_bench.core.types import Array, Batch, Output, TrainState, Tree, named_key
from da_bench.data.transforms import View, evaluation_input, training_input
from da_bench.methods import Method, MethodSpec, Trainer
from da_bench.models import Network, initialise, output_shapes
from da_bench.training.config import Training
from da_bench.training.mesh import shard_batch
from da_bench.training.prediction import PredictRequest, predict
from da_bench.training.sampling import Data, Draw, batch_shapes, draw_order, take_batch


class RunSettings(NamedTuple):
    """What the runs of one compiled program differ in.

    Attributes:
        key: random key of the run.
        method: float hyper-parameters may differ.
        training: float fields may differ.
        overrides: fields of `Data` that replace those of the group, "labels" and "pretrained".
    """

    key: Array
    method: Method
    training: Training
    overrides: Tree = {}  # noqa: RUF012 - the default of a tuple, which nobody changes


class Carry(NamedTuple):
    """What passes from step to step.

    Attributes:
        state: of the training.
        sums: of the metrics since the last evaluation, by name.
    """

    state: TrainState
    sums: dict[str, Array]


class TrainedRun(NamedTuple):
    """What a run leaves after e evaluations of p probes.

    Attributes:
        state: after the last step.
        metrics: [e] by name, each the mean over the steps since the evaluation before.
        logits: [e, p, c] of the probes at every evaluation.
        features: [p, d] of the probes after the last step.
    """

    state: TrainState
    metrics: dict[str, Array]
    logits: Array
    features: Array


Step = Callable[[RunSettings, TrainState, Draw, Batch], tuple[TrainState, dict[str, Array]]]


def train_run(
    key: Array, method: Method, training: Training, model: Network, data: Data, transform: View | None = None
) -> TrainedRun:
    """Train a network in one piece: a pure function, to be jitted, vmapped and mapped over devices.

    Studies use `loop.fit`, which computes the same launch by launch and with checkpoints; checks of methods use this.

    Args:
        key: random key of the run.
        method: of domain adaptation.
        training: schedule and optimizer.
        model: the network, with its number of classes.
        data: all that the run may see.
        transform: how stored inputs become the network's; None leaves them as they are.
    """
    run, step = RunSettings(key, method, training), make_train_step(model, transform)
    every = training.steps // training.evaluations

    def next_step(carry: Carry, draw: Draw) -> tuple[Carry, None]:
        return advance_run(run, step, carry, draw, take_batch(data, draw)), None

    def train_and_evaluate(carry: tuple[Carry, Array], draws: Draw) -> tuple[Any, Any]:
        after, _ = jax.lax.scan(next_step, carry[0], draws)
        request = PredictRequest(data.inputs, data.probes, data.of_target)
        output = predict(make_trainer(run, model), method.inference_variables(after.state), request, transform)
        return (after, output.features), (mean_metrics(after.sums, every), output.logits)

    first = initial_carry(run, step, model, data, transform)
    example = example_inputs(data, transform), jnp.zeros(1, bool)
    features = jax.eval_shape(
        make_trainer(run, model).predict, *method.inference_variables(first.state), *example
    ).features
    start = first, jnp.zeros((len(data.probes), *features.shape[1:]), features.dtype)
    draws = jax.tree.map(
        lambda leaf: leaf.reshape(training.evaluations, every, *leaf.shape[1:]), draw_order(key, training, data)
    )
    (last, last_features), (metrics, logits) = jax.lax.scan(train_and_evaluate, start, draws)
    return TrainedRun(last.state, metrics, logits, last_features)


def make_train_step(model: Network, transform: View | None) -> Step:
    """Return the jitted step of any run: (run, state, draw, stored batch) to (state, metrics).

    It is a function of its own so that it is traced once.
    """

    def step(run: RunSettings, state: TrainState, draw: Draw, stored: Batch) -> tuple[TrainState, dict[str, Array]]:
        with jax.default_matmul_precision("highest"):  # of alignment terms: differences of close covariances
            return run.method.step(make_trainer(run, model), state, augment_batch(run.key, transform, draw, stored))

    return jax.jit(step, inline=True)


def initial_carry(run: RunSettings, step: Step, model: Network, data: Data, transform: View | None) -> Carry:
    """Return the initial carry, the input of the first step. Only two inputs of the data are read."""
    example = example_inputs(data, transform)
    state = init_state(run.key, run.method, make_trainer(run, model), example, len(data.target_rows), data.pretrained)
    _, metrics = jax.eval_shape(step, run, state, *batch_shapes(run.training, data))
    return Carry(state, jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), metrics))


def advance_run(run: RunSettings, step: Step, carry: Carry, draw: Draw, stored: Batch) -> Carry:
    """Compute the next step of a run. The sums of the metrics restart after an evaluation."""
    state, metrics = step(run, carry.state, draw, stored)
    first = draw.step % (run.training.steps // run.training.evaluations) == 0
    sums = jax.tree.map(lambda total, new: jnp.where(first, 0, total) + new, carry.sums, metrics)
    return Carry(state, sums)


def mean_metrics(sums: dict[str, Array], steps: int) -> dict[str, Array]:
    """Return the metrics of one evaluation from their sums over the `steps` before it."""
    return {name: total / steps for name, total in sums.items()}


def make_trainer(run: RunSettings, model: Network) -> Trainer:
    """Return the parts of a run that stay the same in every step."""
    training = run.training
    optimizer = training.make_optimizer(frozen=getattr(model, "frozen", False), restart_at=run.method.restart_at)
    return Trainer(model, optimizer, training.steps, training.precision, training.batch_norm)


def make_predictor(
    run: RunSettings, model: Network, transform: View | None
) -> Callable[[tuple[Tree, Tree], Array], Array]:
    """Return a compiled function of (parameters, statistics) and target inputs [n, ...] to logits [n, c].

    Args:
        run: any run of a group.
        model: the network.
        transform: how stored inputs become the network's.
    """
    trainer = make_trainer(run, model)

    @jax.jit
    def predict_target(variables: tuple[Tree, Tree], inputs: Array) -> Array:
        request = PredictRequest(inputs, jnp.arange(len(inputs)), jnp.ones(len(inputs), bool))
        return predict(trainer, variables, request, transform).logits

    return predict_target


def example_inputs(data: Data, transform: View | None) -> Array:
    """Return two inputs as the network takes them, for their shape: [2, ...]."""
    return evaluation_input(transform, data.inputs[data.source_rows[:2]])


def init_state(
    key: Array, method: Method, trainer: Trainer, example: Array, targets: int, pretrained: Tree | None = None
) -> TrainState:
    """Return the state before the first step.

    Args:
        key: random key of the run.
        method: whose own parameters, constants and memory are initialised.
        trainer: with the network and the optimizer.
        example: inputs of the network [n, ...], for their shape.
        targets: number of target rows to train on.
        pretrained: see `Data`; None for none.
    """
    params, stats = initialise(trainer.model, named_key(key, "model"), example)
    variables = merge_pretrained({"params": params, **stats}, pretrained or {})
    params, stats = variables.pop("params"), variables
    shapes = output_shapes(trainer.model, params, stats, example)
    output: Output = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params, stats = _default_precision((params, trainer.init_stats(stats)))
    # the stream is called "memory" for historical reasons: another name would change every run
    spec = MethodSpec(output, targets, params, named_key(key, "memory"))
    own = _default_precision(method.init(named_key(key, "method"), spec))
    trainable = {"model": params, "method": own.params}
    opt_state = trainer.optimizer.init(trainable)
    step = jnp.zeros((), jnp.int32)
    return TrainState(step, trainable, stats, own.constants, own.memory, opt_state, named_key(key, "steps"))


def _default_precision(tree: Tree) -> Tree:
    """Convert floats to JAX's default precision, whatever the network declares: x64 makes all of a run double."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.result_type(float)) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def augment_batch(key: Array, transform: View | None, draw: Draw, stored: Batch) -> Batch:
    """Return a batch as the network trains on it.

    Args:
        key: of the run; equal (key, step, row) are augmented alike.
        transform: how stored inputs become the network's; None leaves them as they are.
        draw: which rows they are.
        stored: the rows of the draw.
    """

    def augment(name: str, rows: Array, inputs: Array) -> Array:
        return training_input(transform, jax.random.fold_in(named_key(key, name), draw.step), rows, inputs)

    source = augment("source view", draw.source_rows, stored.source)
    return shard_batch(stored._replace(source=source, target=augment("target view", draw.target_rows, stored.target)))
