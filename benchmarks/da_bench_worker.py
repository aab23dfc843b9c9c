"""The worker of `benchmarks.engine` for da_bench: the same training loop as in a study."""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import (
    DISCRIMINATOR_WIDTH,
    IMAGE_BATCH_SIZE,
    IMAGE_CLASSES,
    LEARNING_RATE,
    METHOD_NAMES,
    MMD_FACTORS,
    MOMENTUM,
    SINKHORN_EPSILON,
    SINKHORN_ITERATIONS,
    WORKLOADS,
    Workload,
    image_batch,
    loss_inputs,
    package_versions,
    serve,
    training_arrays,
)
from da_bench import methods
from da_bench import training as train
from da_bench.core.types import Array, Batch, Domain, Output, TrainState
from da_bench.losses.adversarial import domain_cross_entropy, reverse_gradient
from da_bench.losses.distances import squared_distances
from da_bench.losses.moments import covariance_gap
from da_bench.losses.transport import sinkhorn
from da_bench.methods import Dann, LossContext, Method, MethodSpec, MethodState, Trainer
from da_bench.methods.schedules import ramp
from da_bench.models import Network, build
from da_bench.models.layers import Dense
from da_bench.models.lenet import Lenet
from da_bench.training.in_memory import Devices, InMemory

EVALUATION_ROWS = 2  # rows predicted at the end of a run, negligible
MATRIX_SIZE, PRODUCTS = 2048, 10  # matrix products that measure the peak of the machine
Placement = Literal["map", "vmap"]


class FeatureNet(Network):
    """The bottleneck of Office-31 suites on frozen features: one layer, batch normalisation, ReLU."""

    width: int = 256

    def setup(self) -> None:
        """Create the layers."""
        self.bottleneck = Dense(self.width)
        self.norm = nn.BatchNorm(momentum=0.9)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """Features [n, width] and logits of inputs [n, d]."""
        features = nn.relu(self.norm(self.bottleneck(inputs), use_running_average=not train))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """Logits [n, classes] of features [n, width]."""
        return self.head(features)


class NormDiscriminator(nn.Module):
    """The domain classifier of Office-31 suites, with batch normalisation by the statistics of the batch."""

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """Logits [n] of features [n, d]."""
        for _ in range(2):
            features = nn.relu(_standardise(Dense(DISCRIMINATOR_WIDTH)(features)))
        return Dense(1)(features)[:, 0]


def _standardise(x: Array) -> Array:
    """Batch normalisation without scale, shift and running averages, which nothing would read."""
    return (x - x.mean(axis=0, keepdims=True)) * jax.lax.rsqrt(x.var(axis=0, keepdims=True) + 1e-5)


@methods.register
class NormDann(Dann):
    """DANN with `NormDiscriminator` on source and target in one batch."""

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier's parameters."""
        return MethodState(params=NormDiscriminator().init(key, spec.output.features)["params"])

    def loss(self, ctx: LossContext) -> Array:
        """Loss of the domain classifier, with reversed gradients for the features."""
        both = reverse_gradient(
            jnp.concatenate([ctx.source.features, ctx.target.features]), self.weight * ramp(ctx.step, ctx.num_steps)
        )
        logits = NormDiscriminator().apply({"params": ctx.params}, both)
        return domain_cross_entropy(logits[: len(ctx.labels)], logits[len(ctx.labels) :]) / 2


BENCHMARK_METHODS: dict[str, Method] = {
    "source_only": methods.SourceOnly(),
    "dann": NormDann(),
    "coral": methods.Coral(layer="features"),
    "mmd": methods.Mmd(layers=("features",), bandwidth="mean", factors=MMD_FACTORS),
}
assert tuple(BENCHMARK_METHODS) == METHOD_NAMES


def network(workload: Workload) -> Network:
    """The network of a workload."""
    if len(workload.input_shape) == 1:
        return FeatureNet(width=workload.num_features, classes=workload.num_classes)
    return Lenet(width=workload.num_features, classes=workload.num_classes)


def training(workload: Workload, steps: int) -> train.Training:
    """Training settings for a number of steps and one evaluation."""
    return train.Training(
        steps=steps,
        evaluations=1,
        batch_size=workload.batch_size,
        optimizer="nesterov",
        momentum=MOMENTUM,
        learning_rate=LEARNING_RATE,
        decay_rate=0.0,
    )


def data(workload: Workload) -> train.Data:
    """The arrays of a workload in the form that a study passes to training."""
    source, labels, target = training_arrays(workload)
    return train.gather_data(Domain(source, labels), target, [target[:EVALUATION_ROWS]])


@functools.cache
def program(name: str, method: str, steps: int, seeds: int, placement: Placement) -> Callable[[], None]:
    """A compiled function without arguments that makes `steps` steps of all seeds; called once already."""
    workload = WORKLOADS[name]
    settings = training(workload, steps)
    runs = [train.RunSettings(jax.random.key(seed), BENCHMARK_METHODS[method], settings) for seed in range(seeds)]
    where = Devices(tuple(jax.devices()[:seeds]), 1 if placement == "map" else None)
    engine = InMemory(runs, network(workload), data(workload), None, where)
    carry = engine.start()

    def call() -> None:
        engine.stride = steps  # one launch
        for _ in engine.advance(carry, 0, steps):
            pass

    call()
    return call


def _seconds(call: Any) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_steps(workload: str, method: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` steps."""
    return time_seeds(workload, method, steps, 1, "map")


def time_seeds(workload: str, method: str, steps: int, seeds: int, placement: Placement) -> dict[str, float]:
    """Seconds of `steps` steps of each of `seeds` seeds in one program."""
    return {"seconds": _seconds(program(workload, method, steps, seeds, placement))}


def time_images(network: str, part: Literal["predict", "train"], steps: int) -> dict[str, float]:
    """Seconds of `steps` batches of images, for prediction or training."""
    call, state, inputs, labels = _images(network, part, steps)
    return {"seconds": _seconds(lambda: jax.block_until_ready(call(state, inputs, labels)))}


@functools.cache
def _images(network: str, part: str, steps: int) -> tuple[Any, TrainState, Array, Array]:
    settings = train.Training(
        steps=steps, evaluations=1, optimizer="nesterov", learning_rate=LEARNING_RATE, decay_rate=0.0
    )
    trainer = Trainer(build(network, bottleneck=None).clone(classes=IMAGE_CLASSES), settings.make_optimizer(), steps)
    inputs, labels = map(jnp.asarray, image_batch())
    make = jax.jit(lambda key: train.init_state(key, methods.SourceOnly(), trainer, inputs[:2], IMAGE_BATCH_SIZE))
    state, rows = make(jax.random.key(0)), jnp.tile(jnp.arange(IMAGE_BATCH_SIZE), steps)

    def predict(state: TrainState, inputs: Array, labels: Array) -> Array:
        request = train.PredictRequest(inputs, rows, jnp.zeros(len(rows), bool))
        return train.predict(trainer, (state.params["model"], state.stats), request).logits

    def train_steps(state: TrainState, inputs: Array, labels: Array) -> TrainState:
        batch = Batch(inputs, labels, inputs, rows[:IMAGE_BATCH_SIZE])
        return jax.lax.scan(lambda s, _: methods.SourceOnly().step(trainer, s, batch), state, length=steps)[0]

    call = jax.jit({"predict": predict, "train": train_steps}[part])
    jax.block_until_ready(call(state, inputs, labels))
    return call, state, inputs, labels


def time_loss(loss: str, n: int, d: int, repeats: int) -> dict[str, float]:
    """Seconds of one evaluation of the value and gradient of a loss."""
    fn, source, target = _loss(loss, n, d)
    return {"seconds": _seconds(lambda: [jax.block_until_ready(fn(source, target)) for _ in range(repeats)]) / repeats}


def transport_cost(source: Array, target: Array) -> Array:
    """Mean cost of the entropic plan between source and target."""
    cost = squared_distances(source, target)
    return jnp.sum(sinkhorn(cost, SINKHORN_EPSILON * jax.lax.stop_gradient(cost.mean()), SINKHORN_ITERATIONS) * cost)


@functools.cache
def _loss(loss: str, n: int, d: int) -> tuple[Any, Array, Array]:
    function = {"mmd": BENCHMARK_METHODS["mmd"].squared_mmd, "coral": covariance_gap, "sinkhorn": transport_cost}[loss]  # type: ignore[attr-defined]
    fn = jax.jit(jax.value_and_grad(function, argnums=(0, 1)))
    source, target = map(jnp.asarray, loss_inputs(n, d))
    jax.block_until_ready(fn(source, target))
    return fn, source, target


def count_flops(workload: str, method: str) -> dict[str, float]:
    """Floating-point operations of one step, as counted by XLA."""
    work = WORKLOADS[workload]
    settings, arrays = training(work, 10), jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data(work))
    trainer = Trainer(network(work), settings.make_optimizer(), settings.steps)
    state = train.init_state(
        jax.random.key(0), BENCHMARK_METHODS[method], trainer, arrays.inputs[:2], len(arrays.target)
    )
    rows = jnp.arange(work.batch_size)
    batch = train.take_batch(arrays, train.Draw(jnp.zeros((), jnp.int32), rows, rows))
    step = jax.jit(lambda state, batch: BENCHMARK_METHODS[method].step(trainer, state, batch))
    return {"flops": max(_flops(step.lower(state, batch)), _flops(step.lower(state, batch).compile()))}


def _flops(stage: Any) -> float:
    # XLA counts no library calls in a compiled step, and nothing is fused in a lowered one
    return float((stage.cost_analysis() or {}).get("flops", 0.0))


def measure_peak(library: Literal["numpy", "jax"]) -> dict[str, float]:
    """Floating-point operations per second of a float32 matrix product."""
    a = np.random.default_rng(0).standard_normal((MATRIX_SIZE, MATRIX_SIZE), np.float32)
    multiply, b = (np.matmul, a) if library == "numpy" else (_product, jnp.asarray(a))
    jax.block_until_ready(multiply(b, b))
    seconds = min(_seconds(lambda: jax.block_until_ready(multiply(b, b))) for _ in range(PRODUCTS))
    return {"flops_a_second": 2 * MATRIX_SIZE**3 / seconds}


_product = jax.jit(jnp.matmul)


def about() -> dict[str, Any]:
    """Versions and number of devices."""
    return {
        "versions": package_versions(["da-bench", "jax", "jaxlib", "flax", "optax", "numpy"]),
        "devices": len(jax.devices()),
    }


def main() -> None:
    """Answer requests."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1)
    jax.config.update("jax_num_cpu_devices", parser.parse_args().devices)
    serve(
        {
            "steps": time_steps,
            "seeds": time_seeds,
            "images": time_images,
            "loss": time_loss,
            "flops": count_flops,
            "peak": measure_peak,
            "about": about,
        }
    )


if __name__ == "__main__":
    main()
