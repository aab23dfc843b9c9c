"""The suite as a contestant of `engine.py`: the engine that a study makes its runs with."""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from workloads import (
    CLASSES,
    EPSILON,
    ITERATIONS,
    KERNELS,
    METHODS,
    MOMENTUM,
    PHOTOGRAPHS,
    RATE,
    WIDTH,
    WORKLOADS,
    Workload,
    arrays,
    photographs,
    samples,
    serve,
    versions,
)

from da_bench import methods
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
from da_bench.training import step as train
from da_bench.training.in_memory import Devices, InMemory

PROBES = 2  # rows predicted at the end of a run: next to none
SIDE, PRODUCTS = 2048, 10  # of the matrices whose product measures the machine
Placement = Literal["map", "vmap"]


class FeatureNet(Network):
    """The bottleneck that Office-31 suites put on frozen features: one layer, batch normalisation, ReLU."""

    width: int = 256

    def setup(self) -> None:
        """Name the layers."""
        self.bottleneck = Dense(self.width)
        self.norm = nn.BatchNorm(momentum=0.9)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, d] -> features [n, width]."""
        features = nn.relu(self.norm(self.bottleneck(inputs), use_running_average=not train))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


class NormDiscriminator(nn.Module):
    """The domain classifier with batch normalisation that Office-31 suites use; its statistics are the batch's."""

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """[n, d] -> [n]."""
        for _ in range(2):
            features = nn.relu(_standardise(Dense(WIDTH)(features)))
        return Dense(1)(features)[:, 0]


def _standardise(x: Array) -> Array:
    """Batch normalisation without running averages, which nothing would read, and without scale and shift."""
    return (x - x.mean(axis=0, keepdims=True)) * jax.lax.rsqrt(x.var(axis=0, keepdims=True) + 1e-5)


@methods.register
class NormDann(Dann):
    """DANN with that domain classifier, which sees source and target in one batch."""

    def init(self, key: Array, spec: MethodSpec) -> MethodState:
        """The domain classifier's parameters."""
        return MethodState(params=NormDiscriminator().init(key, spec.output.features)["params"])

    def loss(self, ctx: LossContext) -> Array:
        """The domain classifier's loss, with the gradient reversed on its way to the features."""
        both = reverse_gradient(
            jnp.concatenate([ctx.source.features, ctx.target.features]), self.weight * ramp(ctx.step, ctx.num_steps)
        )
        logits = NormDiscriminator().apply({"params": ctx.params}, both)
        return domain_cross_entropy(logits[: len(ctx.labels)], logits[len(ctx.labels) :]) / 2


CONTEST: dict[str, Method] = {
    "source_only": methods.SourceOnly(),
    "dann": NormDann(),
    "coral": methods.Coral(layer="features"),
    "mmd": methods.Mmd(layers=("features",), bandwidth="mean", factors=KERNELS),
}
assert tuple(CONTEST) == METHODS


def network(workload: Workload) -> Network:
    """What is trained."""
    if len(workload.inputs) == 1:
        return FeatureNet(width=workload.features, classes=workload.classes)
    return Lenet(width=workload.features, classes=workload.classes)


def training(workload: Workload, steps: int) -> train.Training:
    """Settings of a run of so many steps, evaluated once."""
    return train.Training(
        steps=steps,
        evaluations=1,
        batch_size=workload.batch,
        optimizer="nesterov",
        momentum=MOMENTUM,
        learning_rate=RATE,
        decay_rate=0.0,
    )


def data(workload: Workload) -> train.Data:
    """The arrays as a study hands them over."""
    source, labels, target = arrays(workload)
    return train.gather(Domain(source, labels), target, [target[:PROBES]])


@functools.cache
def program(name: str, method: str, steps: int, seeds: int, placement: Placement) -> Callable[[], None]:
    """A function of nothing that makes `steps` steps of the runs, compiled; it was called once."""
    workload = WORKLOADS[name]
    settings = training(workload, steps)
    runs = [train.Run(jax.random.key(seed), CONTEST[method], settings) for seed in range(seeds)]
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


def steps_of(workload: str, method: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` steps."""
    return seeds_of(workload, method, steps, 1, "map")


def seeds_of(workload: str, method: str, steps: int, seeds: int, placement: Placement) -> dict[str, float]:
    """Seconds of `steps` steps of each of `seeds` seeds in one program."""
    return {"seconds": _seconds(program(workload, method, steps, seeds, placement))}


def images_of(network: str, part: Literal["predict", "train"], steps: int) -> dict[str, float]:
    """Seconds of `steps` batches of images, predicted or trained on."""
    call, state, inputs, labels = _images(network, part, steps)
    return {"seconds": _seconds(lambda: jax.block_until_ready(call(state, inputs, labels)))}


@functools.cache
def _images(network: str, part: str, steps: int) -> tuple[Any, TrainState, Array, Array]:
    settings = train.Training(steps=steps, evaluations=1, optimizer="nesterov", learning_rate=RATE, decay_rate=0.0)
    trainer = Trainer(build(network, bottleneck=None).clone(classes=CLASSES), settings.optimiser(), steps)
    inputs, labels = map(jnp.asarray, photographs())
    make = jax.jit(lambda key: train.init(key, methods.SourceOnly(), trainer, inputs[:2], PHOTOGRAPHS))
    state, rows = make(jax.random.key(0)), jnp.tile(jnp.arange(PHOTOGRAPHS), steps)

    def predict(state: TrainState, inputs: Array, labels: Array) -> Array:
        asked = train.Asked(inputs, rows, jnp.zeros(len(rows), bool))
        return train.predict(trainer, (state.params["model"], state.stats), asked).logits

    def trained(state: TrainState, inputs: Array, labels: Array) -> TrainState:
        batch = Batch(inputs, labels, inputs, rows[:PHOTOGRAPHS])
        return jax.lax.scan(lambda s, _: methods.SourceOnly().step(trainer, s, batch), state, length=steps)[0]

    call = jax.jit({"predict": predict, "train": trained}[part])
    jax.block_until_ready(call(state, inputs, labels))
    return call, state, inputs, labels


def loss_of(loss: str, n: int, d: int, repeats: int) -> dict[str, float]:
    """Seconds of value and gradient of one loss."""
    fn, source, target = _loss(loss, n, d)
    return {"seconds": _seconds(lambda: [jax.block_until_ready(fn(source, target)) for _ in range(repeats)]) / repeats}


def transported(source: Array, target: Array) -> Array:
    """Mean cost of the entropic plan between the samples."""
    cost = squared_distances(source, target)
    return jnp.sum(sinkhorn(cost, EPSILON * jax.lax.stop_gradient(cost.mean()), ITERATIONS) * cost)


@functools.cache
def _loss(loss: str, n: int, d: int) -> tuple[Any, Array, Array]:
    gap = {"mmd": CONTEST["mmd"].gap, "coral": covariance_gap, "sinkhorn": transported}[loss]  # type: ignore[attr-defined]
    fn = jax.jit(jax.value_and_grad(gap, argnums=(0, 1)))
    source, target = map(jnp.asarray, samples(n, d))
    jax.block_until_ready(fn(source, target))
    return fn, source, target


def flops_of(workload: str, method: str) -> dict[str, float]:
    """Floating-point operations of one step, by XLA's own count."""
    work = WORKLOADS[workload]
    settings, held = training(work, 10), jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), data(work))
    trainer = Trainer(network(work), settings.optimiser(), settings.steps)
    state = train.init(jax.random.key(0), CONTEST[method], trainer, held.inputs[:2], len(held.target))
    rows = jnp.arange(work.batch)
    batch = train.take(held, train.Draw(jnp.zeros((), jnp.int32), rows, rows))
    step = jax.jit(lambda state, batch: CONTEST[method].step(trainer, state, batch))
    return {"flops": max(_flops(step.lower(state, batch)), _flops(step.lower(state, batch).compile()))}


def _flops(counted: Any) -> float:
    return float((counted.cost_analysis() or {}).get("flops", 0.0))  # the compiled one does not see library calls


def peak_of(library: Literal["numpy", "jax"]) -> dict[str, float]:
    """Floating-point operations a second of a float32 matrix product."""
    a = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
    multiply, b = (np.matmul, a) if library == "numpy" else (_product, jnp.asarray(a))
    jax.block_until_ready(multiply(b, b))
    seconds = min(_seconds(lambda: jax.block_until_ready(multiply(b, b))) for _ in range(PRODUCTS))
    return {"flops_a_second": 2 * SIDE**3 / seconds}


_product = jax.jit(jnp.matmul)


def about() -> dict[str, Any]:
    """Versions and devices."""
    return {
        "versions": versions(["da-bench", "jax", "jaxlib", "flax", "optax", "numpy"]),
        "devices": len(jax.devices()),
    }


def main() -> None:
    """Answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=1)
    jax.config.update("jax_num_cpu_devices", parser.parse_args().devices)
    asked = {"steps": steps_of, "seeds": seeds_of, "pictures": images_of, "loss": loss_of}
    serve({**asked, "flops": flops_of, "peak": peak_of, "about": about})


if __name__ == "__main__":
    main()
