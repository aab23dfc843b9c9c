"""The workers of `benchmarks.engine` for PyTorch and the suites on it: `python -m benchmarks.peer_worker NAME`.

Each framework trains the same network on the same batches with the same optimizer, in the way of its own examples. The
two plain PyTorch loops are what an expert would write, with the cheapest form of each loss.
"""

import argparse
import functools
import itertools
import math
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.workloads import (
    DISCRIMINATOR_WIDTH,
    IMAGE_CLASSES,
    LEARNING_RATE,
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

warnings.filterwarnings("ignore")
Steps = Callable[[int], None]  # makes a number of steps


class Lenet(nn.Module):
    """Features of images [n, 1, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.bottleneck = nn.Linear(50 * 4 * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        """Features [n, width] of images [n, 1, 28, 28]."""
        for convolution in (self.first, self.second):
            x = functional.relu(functional.max_pool2d(convolution(x), 2))
        return functional.relu(self.bottleneck(x.flatten(1)))


def encoder(workload: Workload) -> nn.Module:
    """The network without its last layer."""
    if len(workload.input_shape) == 3:
        return Lenet(workload.num_features)
    return nn.Sequential(
        nn.Linear(workload.input_shape[0], workload.num_features), nn.BatchNorm1d(workload.num_features), nn.ReLU()
    )


def discriminator(features: int) -> nn.Module:
    """Domain classifier: logits [n] of features [n, features]."""
    layers = [
        layer
        for width in (features, DISCRIMINATOR_WIDTH)
        for layer in (
            nn.Linear(width, DISCRIMINATOR_WIDTH),
            nn.BatchNorm1d(DISCRIMINATOR_WIDTH, affine=False, track_running_stats=False),
            nn.ReLU(),
        )
    ]
    return nn.Sequential(*layers, nn.Linear(DISCRIMINATOR_WIDTH, 1), nn.Flatten(0))


def tensors(workload: Workload) -> tuple[Tensor, Tensor, Tensor]:
    """The arrays of a workload, channels first."""
    source, labels, target = training_arrays(workload)
    if len(workload.input_shape) == 3:
        source, target = (np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x in (source, target))
    return torch.from_numpy(source), torch.from_numpy(labels).long(), torch.from_numpy(target)


def shuffled_batches(n: int, batch: int) -> Iterator[Tensor]:
    """Row indices of shuffled batches, epoch after epoch."""
    while True:
        yield from torch.randperm(n).split(batch)[: n // batch]


def optimizer(parameters: Any, **options: Any) -> torch.optim.Optimizer:
    """Stochastic gradient descent with Nesterov momentum."""
    return torch.optim.SGD(parameters, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True, **options)


class ReverseGradient(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Identity."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Reversed gradient."""
        return -gradient


def coral(source: Tensor, target: Tensor) -> Tensor:
    """CORAL loss, by the inner products of rows if these are fewer than the entries of the covariances."""
    n, m, d = len(source), len(target), source.shape[1]
    s, t = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (source, target))
    if d <= n + m:
        return ((s.T @ s - t.T @ t) ** 2).sum() / (4 * d * d)
    gram = torch.cat([s, t]) @ torch.cat([s, t]).T
    gap = (gram[:n, :n] ** 2).sum() + (gram[n:, n:] ** 2).sum() - 2 * (gram[:n, n:] ** 2).sum()
    return gap / (4 * d * d)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """MMD loss with one distance matrix and one exponential; the other kernels are its squares."""
    x, n = torch.cat([source, target]), len(source)
    squares = (x * x).sum(1)
    distances = (squares[:, None] + squares[None] - 2 * x @ x.T).clamp(min=0)
    pairs = len(x) * (len(x) - 1)
    kernel = torch.exp(-distances / (MMD_FACTORS[-1] * distances.detach().sum() / pairs))
    total = kernel
    for _ in MMD_FACTORS[1:]:
        kernel = kernel * kernel
        total = total + kernel
    total = total / len(MMD_FACTORS)
    within = [(part.sum() - part.trace()) / (len(part) * (len(part) - 1)) for part in (total[:n, :n], total[n:, n:])]
    return within[0] + within[1] - 2 * total[:n, n:].mean()


def transport_cost(solver: Callable[[Tensor, Tensor], Tensor], source: Tensor, target: Tensor) -> Tensor:
    """Mean cost of the entropic plan between source and target."""
    squares = (source * source).sum(1)[:, None] + (target * target).sum(1)[None]
    cost = (squares - 2 * source @ target.T).clamp(min=0)
    with torch.no_grad():
        plan = solver(cost, SINKHORN_EPSILON * cost.mean())
    return (plan * cost).sum()


def sinkhorn(cost: Tensor, epsilon: Tensor) -> Tensor:
    """Entropic plan between uniform masses, on logarithms."""
    n, m = cost.shape
    scaled = -cost / epsilon
    rows, columns = torch.zeros(n), torch.zeros(m)
    for _ in range(SINKHORN_ITERATIONS):
        columns = -torch.logsumexp(scaled + rows[:, None], 0) - math.log(m)
        rows = -torch.logsumexp(scaled + columns[None], 1) - math.log(n)
    return torch.exp(scaled + rows[:, None] + columns[None])


def pot(cost: Tensor, epsilon: Tensor) -> Tensor:
    """Entropic plan by POT, on logarithms as well."""
    import ot

    weights = [torch.full((size,), 1 / size) for size in cost.shape]
    options = {"numItermax": SINKHORN_ITERATIONS, "stopThr": 0.0, "warn": False}
    plan: Tensor = ot.sinkhorn(*weights, cost, epsilon.item(), method="sinkhorn_log", **options)
    return plan


def plain_loop(workload: Workload, method: str, compiled: bool) -> Steps:
    """A loop over indexed tensors, with one forward pass of both domains and a fused optimizer."""
    source, labels, target = tensors(workload)
    body, head, domain_classifier = (
        encoder(workload),
        nn.Linear(workload.num_features, workload.num_classes),
        discriminator(workload.num_features),
    )
    modules = [body, head, domain_classifier] if method == "dann" else [body, head]
    updater = optimizer(itertools.chain(*(module.parameters() for module in modules)), fused=True)
    domains = torch.cat([torch.ones(workload.batch_size), torch.zeros(workload.batch_size)])

    def objective(x: Tensor, y: Tensor) -> Tensor:
        features, n = body(x), len(y)
        loss = functional.cross_entropy(head(features[:n]), y)
        if method == "dann":
            return loss + functional.binary_cross_entropy_with_logits(
                domain_classifier(ReverseGradient.apply(features)), domains
            )
        gap = {"coral": coral, "mmd": mmd}.get(method)
        return loss + gap(features[:n], features[n:]) if gap else loss

    total_loss = torch.compile(objective) if compiled else objective
    orders = shuffled_batches(len(source), workload.batch_size), shuffled_batches(len(target), workload.batch_size)

    def steps(count: int) -> None:
        for source_rows, target_rows in itertools.islice(zip(*orders, strict=False), count):
            inputs = source[source_rows]
            if method != "source_only":
                inputs = torch.cat([inputs, target[target_rows]])
            updater.zero_grad(set_to_none=True)
            total_loss(inputs, labels[source_rows]).backward()
            updater.step()

    return steps


def pytorch_adapt(workload: Workload, method: str) -> Steps:
    """The hooks of pytorch-adapt, called with a batch as its adapters do."""
    _torchvision_without_operators()
    from pytorch_adapt import hooks, layers

    source, labels, target = tensors(workload)
    models = {"G": encoder(workload), "C": nn.Linear(workload.num_features, workload.num_classes)}
    if method == "dann":
        models["D"] = discriminator(workload.num_features)
    updater = [optimizer(itertools.chain(*(model.parameters() for model in models.values())))]
    if method in ("coral", "mmd"):
        scales = torch.tensor([1 / factor for factor in MMD_FACTORS])
        loss = layers.CORALLoss() if method == "coral" else layers.MMDLoss(kernel_scales=scales, mmd_type="quadratic")
        aligner = hooks.AlignerHook(loss_fn=loss, layer="features")
        hook: Any = hooks.AlignerPlusCHook(updater, aligner_hook=aligner, softmax=False)
    else:
        hook = hooks.DANNHook(updater) if method == "dann" else hooks.ClassifierHook(updater)
    domains = {"src_domain": torch.ones(workload.batch_size), "target_domain": torch.zeros(workload.batch_size)}
    orders = shuffled_batches(len(source), workload.batch_size), shuffled_batches(len(target), workload.batch_size)

    def steps(count: int) -> None:
        for source_rows, target_rows in itertools.islice(zip(*orders, strict=False), count):
            batch = {
                "src_imgs": source[source_rows],
                "src_labels": labels[source_rows],
                "target_imgs": target[target_rows],
            }
            hook({**models, **batch, **domains})

    return steps


def _torchvision_without_operators() -> None:
    """Allow importing torchvision if its operators were built for another torch; none is used here."""
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))


class _ReversedDiscriminator(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.domain_classifier = discriminator(features)

    def forward(self, x: Tensor, sample_weight: Any = None) -> Tensor:
        return self.domain_classifier(ReverseGradient.apply(x))


class _NamedLayers(nn.Module):
    """A network whose layers have names, by which skada reads their outputs."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.body, self.head = encoder(workload), nn.Linear(workload.num_features, workload.num_classes)

    def forward(self, x: Tensor, sample_weight: Any = None) -> Tensor:
        return self.head(self.body(x))


def skada(workload: Workload, method: str) -> Steps:
    """The estimators of skada on skorch, with their own loaders. They make whole epochs."""
    from skada import deep

    source, labels, target = tensors(workload)
    x = torch.cat([source, target]).numpy()
    y = np.concatenate([labels.numpy(), np.full(len(target), -1)])
    domain = np.concatenate([np.full(len(source), 1), np.full(len(target), -2)])
    options = {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": MOMENTUM,
        "optimizer__nesterov": True,
        "lr": LEARNING_RATE,
        "batch_size": workload.batch_size,
        "train_split": None,
        "verbose": 0,
    }
    method_options: dict[str, Any] = {
        "mmd": {"sigmas": [factor * workload.num_features for factor in MMD_FACTORS]}
    }.get(method, {})
    if method == "dann":
        method_options = {
            "domain_classifier": _ReversedDiscriminator(workload.num_features),
            "domain_criterion": nn.BCEWithLogitsLoss(),
        }
    make = {"source_only": deep.SourceOnly, "dann": deep.DANN, "coral": deep.DeepCoral, "mmd": deep.DAN}[method]
    net = make(_NamedLayers(workload), layer_name="body", max_epochs=1, **method_options, **options)
    net.initialize()
    epoch = len(source) // workload.batch_size

    def steps(count: int) -> None:
        for _ in range(max(1, count // epoch)):
            net.partial_fit(net._prepare_input(x, y, domain), None)

    steps.steps_per_epoch = epoch  # type: ignore[attr-defined]
    return steps


FRAMEWORKS: dict[str, Callable[[Workload, str], Steps]] = {
    "torch": functools.partial(plain_loop, compiled=False),
    "compile": functools.partial(plain_loop, compiled=True),
    "pytorch-adapt": pytorch_adapt,
    "skada": skada,
}


def time_steps(framework: str, workload: str, method: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` steps."""
    run = _warm(framework, workload, method)
    epoch = getattr(run, "steps_per_epoch", 1)
    num_steps = max(1, steps // epoch) * epoch
    start = time.perf_counter()
    run(num_steps)
    return {"seconds": (time.perf_counter() - start) * steps / num_steps}


@functools.cache
def _warm(framework: str, workload: str, method: str) -> Steps:
    torch.manual_seed(0)
    run = FRAMEWORKS[framework](WORKLOADS[workload], method)
    run(5)
    return run


def time_images(framework: str, network: str, part: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` batches of images, for prediction or training."""
    run = _images(framework, network, part)
    start = time.perf_counter()
    run(steps)
    return {"seconds": time.perf_counter() - start}


@functools.cache
def _images(framework: str, network: str, part: str) -> Steps:
    _torchvision_without_operators()
    import torchvision

    model = getattr(torchvision.models, network)(num_classes=IMAGE_CLASSES).train(part == "train")
    updater = optimizer(model.parameters(), fused=True)
    inputs, labels = image_batch()
    x, y = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels).long()

    def predict(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                model(x)

    def train(count: int) -> None:
        for _ in range(count):
            updater.zero_grad(set_to_none=True)
            functional.cross_entropy(model(x), y).backward()
            updater.step()

    run = {"predict": predict, "train": train}[part]
    run(1)
    return run


def time_loss(framework: str, loss: str, n: int, d: int, repeats: int) -> dict[str, float]:
    """Seconds of one evaluation of the value and gradient of a loss."""
    fn = _loss(framework, loss)
    source, target = (torch.from_numpy(x).requires_grad_() for x in loss_inputs(n, d))
    torch.autograd.grad(fn(source, target), (source, target))
    start = time.perf_counter()
    for _ in range(repeats):
        torch.autograd.grad(fn(source, target), (source, target))
    return {"seconds": (time.perf_counter() - start) / repeats}


@functools.cache
def _loss(framework: str, loss: str) -> Callable[[Tensor, Tensor], Tensor]:
    if framework == "POT":
        return functools.partial(transport_cost, pot)
    if framework in ("torch", "compile"):
        function = {"coral": coral, "mmd": mmd, "sinkhorn": functools.partial(transport_cost, sinkhorn)}[loss]
        return torch.compile(function) if framework == "compile" else function
    if framework == "pytorch-adapt":
        _torchvision_without_operators()
        from pytorch_adapt import layers

        scales = torch.tensor([1 / factor for factor in MMD_FACTORS])
        return layers.CORALLoss() if loss == "coral" else layers.MMDLoss(kernel_scales=scales, mmd_type="quadratic")
    from skada.deep import losses

    return losses.deepcoral_loss if loss == "coral" else functools.partial(losses.dan_loss, sigmas=MMD_FACTORS)


def about() -> dict[str, Any]:
    """Versions and number of threads."""
    packages = ["torch", "torchvision", "pytorch-adapt", "skada", "skorch", "POT", "numpy"]
    return {"versions": package_versions(packages), "threads": torch.get_num_threads()}


def main() -> None:
    """Answer requests for one framework."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("framework", choices=[*FRAMEWORKS, "POT"])
    framework = parser.parse_args().framework
    handlers = {"steps": time_steps, "images": time_images, "loss": time_loss}
    serve({**{name: functools.partial(fn, framework) for name, fn in handlers.items()}, "about": about})


if __name__ == "__main__":
    main()
