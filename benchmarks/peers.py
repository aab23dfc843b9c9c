"""PyTorch and the suites on it as contestants of `engine.py`: `python peers.py NAME`, one of `CONTESTANTS`.

Each trains the same network on the same batches with the same optimizer in the way its own examples do; the two plain
loops are what an expert would write, with the cheapest form of each loss.
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
from workloads import (
    CLASSES,
    EPSILON,
    ITERATIONS,
    KERNELS,
    MOMENTUM,
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

warnings.filterwarnings("ignore")
Step = Callable[[int], None]  # so many steps


class Lenet(nn.Module):
    """Features of images [n, 1, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.bottleneck = nn.Linear(50 * 4 * 4, width)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 1, 28, 28] -> [n, width]."""
        for convolution in (self.first, self.second):
            x = functional.relu(functional.max_pool2d(convolution(x), 2))
        return functional.relu(self.bottleneck(x.flatten(1)))


def encoder(workload: Workload) -> nn.Module:
    """The network without its last layer."""
    if len(workload.inputs) == 3:
        return Lenet(workload.features)
    return nn.Sequential(nn.Linear(workload.inputs[0], workload.features), nn.BatchNorm1d(workload.features), nn.ReLU())


def discriminator(features: int) -> nn.Module:
    """[n, features] -> [n, 1] logits."""
    layers = [
        layer
        for width in (features, WIDTH)
        for layer in (
            nn.Linear(width, WIDTH),
            nn.BatchNorm1d(WIDTH, affine=False, track_running_stats=False),
            nn.ReLU(),
        )
    ]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1), nn.Flatten(0))


def tensors(workload: Workload) -> tuple[Tensor, Tensor, Tensor]:
    """The arrays, channels first."""
    source, labels, target = arrays(workload)
    if len(workload.inputs) == 3:
        source, target = (np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x in (source, target))
    return torch.from_numpy(source), torch.from_numpy(labels).long(), torch.from_numpy(target)


def shuffled(n: int, batch: int) -> Iterator[Tensor]:
    """Rows of batch after batch, epoch after epoch."""
    while True:
        yield from torch.randperm(n).split(batch)[: n // batch]


def optimizer(parameters: Any, **options: Any) -> torch.optim.Optimizer:
    """Nesterov's, as ours."""
    return torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM, nesterov=True, **options)


class Reverse(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Same."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Reversed."""
        return -gradient


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Through the rows' inner products where those are fewer than the covariances' entries."""
    n, m, d = len(source), len(target), source.shape[1]
    s, t = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (source, target))
    if d <= n + m:
        return ((s.T @ s - t.T @ t) ** 2).sum() / (4 * d * d)
    gram = torch.cat([s, t]) @ torch.cat([s, t]).T
    gap = (gram[:n, :n] ** 2).sum() + (gram[n:, n:] ** 2).sum() - 2 * (gram[:n, n:] ** 2).sum()
    return gap / (4 * d * d)


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """One matrix of distances, one exponential; the other kernels are its squares."""
    x, n = torch.cat([source, target]), len(source)
    squares = (x * x).sum(1)
    distances = (squares[:, None] + squares[None] - 2 * x @ x.T).clamp(min=0)
    pairs = len(x) * (len(x) - 1)
    kernel = torch.exp(-distances / (KERNELS[-1] * distances.detach().sum() / pairs))
    total = kernel
    for _ in KERNELS[1:]:
        kernel = kernel * kernel
        total = total + kernel
    total = total / len(KERNELS)
    within = [(part.sum() - part.trace()) / (len(part) * (len(part) - 1)) for part in (total[:n, :n], total[n:, n:])]
    return within[0] + within[1] - 2 * total[:n, n:].mean()


def transported(plan: Callable[[Tensor, Tensor], Tensor], source: Tensor, target: Tensor) -> Tensor:
    """Mean cost of the entropic plan between the samples."""
    squares = (source * source).sum(1)[:, None] + (target * target).sum(1)[None]
    cost = (squares - 2 * source @ target.T).clamp(min=0)
    with torch.no_grad():
        found = plan(cost, EPSILON * cost.mean())
    return (found * cost).sum()


def sinkhorn(cost: Tensor, epsilon: Tensor) -> Tensor:
    """In the logarithmic domain, between equal weights."""
    n, m = cost.shape
    scaled = -cost / epsilon
    rows, columns = torch.zeros(n), torch.zeros(m)
    for _ in range(ITERATIONS):
        columns = -torch.logsumexp(scaled + rows[:, None], 0) - math.log(m)
        rows = -torch.logsumexp(scaled + columns[None], 1) - math.log(n)
    return torch.exp(scaled + rows[:, None] + columns[None])


def pot(cost: Tensor, epsilon: Tensor) -> Tensor:
    """The library's, in the logarithmic domain too."""
    import ot

    weights = [torch.full((size,), 1 / size) for size in cost.shape]
    every = {"numItermax": ITERATIONS, "stopThr": 0.0, "warn": False}
    found: Tensor = ot.sinkhorn(*weights, cost, epsilon.item(), method="sinkhorn_log", **every)
    return found


def plain(workload: Workload, method: str, compiled: bool) -> Step:
    """A loop over indexed tensors; one forward pass of both domains; fused optimizer."""
    source, labels, target = tensors(workload)
    body, head, judge = (
        encoder(workload),
        nn.Linear(workload.features, workload.classes),
        discriminator(workload.features),
    )
    used = [body, head, judge] if method == "dann" else [body, head]
    updater = optimizer(itertools.chain(*(part.parameters() for part in used)), fused=True)
    domains = torch.cat([torch.ones(workload.batch), torch.zeros(workload.batch)])

    def objective(x: Tensor, y: Tensor) -> Tensor:
        features, n = body(x), len(y)
        loss = functional.cross_entropy(head(features[:n]), y)
        if method == "dann":
            return loss + functional.binary_cross_entropy_with_logits(judge(Reverse.apply(features)), domains)
        gap = {"coral": coral, "mmd": mmd}.get(method)
        return loss + gap(features[:n], features[n:]) if gap else loss

    value = torch.compile(objective) if compiled else objective
    orders = shuffled(len(source), workload.batch), shuffled(len(target), workload.batch)

    def steps(count: int) -> None:
        for ours, theirs in itertools.islice(zip(*orders, strict=False), count):
            both = source[ours] if method == "source_only" else torch.cat([source[ours], target[theirs]])
            updater.zero_grad(set_to_none=True)
            value(both, labels[ours]).backward()
            updater.step()

    return steps


def pytorch_adapt(workload: Workload, method: str) -> Step:
    """Its hooks, called with a batch as its adapters call them."""
    _torchvision_without_operators()
    from pytorch_adapt import hooks, layers

    source, labels, target = tensors(workload)
    models = {"G": encoder(workload), "C": nn.Linear(workload.features, workload.classes)}
    if method == "dann":
        models["D"] = discriminator(workload.features)
    updater = [optimizer(itertools.chain(*(model.parameters() for model in models.values())))]
    if method in ("coral", "mmd"):
        scales = torch.tensor([1 / factor for factor in KERNELS])
        loss = layers.CORALLoss() if method == "coral" else layers.MMDLoss(kernel_scales=scales, mmd_type="quadratic")
        aligner = hooks.AlignerHook(loss_fn=loss, layer="features")
        hook: Any = hooks.AlignerPlusCHook(updater, aligner_hook=aligner, softmax=False)
    else:
        hook = hooks.DANNHook(updater) if method == "dann" else hooks.ClassifierHook(updater)
    domains = {"src_domain": torch.ones(workload.batch), "target_domain": torch.zeros(workload.batch)}
    orders = shuffled(len(source), workload.batch), shuffled(len(target), workload.batch)

    def steps(count: int) -> None:
        for ours, theirs in itertools.islice(zip(*orders, strict=False), count):
            batch = {"src_imgs": source[ours], "src_labels": labels[ours], "target_imgs": target[theirs]}
            hook({**models, **batch, **domains})

    return steps


def _torchvision_without_operators() -> None:
    """Let torchvision be imported where its operators, built for another torch, do not load; none is used here."""
    sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))


class _Reversed(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.judge = discriminator(features)

    def forward(self, x: Tensor, sample_weight: Any = None) -> Tensor:
        return self.judge(Reverse.apply(x))


class _Named(nn.Module):
    """skada takes the output of a layer by name."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.body, self.head = encoder(workload), nn.Linear(workload.features, workload.classes)

    def forward(self, x: Tensor, sample_weight: Any = None) -> Tensor:
        return self.head(self.body(x))


def skada(workload: Workload, method: str) -> Step:
    """Its estimators on skorch, with their own loaders; whole epochs, of which the asked share is counted."""
    from skada import deep

    source, labels, target = tensors(workload)
    x = torch.cat([source, target]).numpy()
    y = np.concatenate([labels.numpy(), np.full(len(target), -1)])
    domain = np.concatenate([np.full(len(source), 1), np.full(len(target), -2)])
    options = {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": MOMENTUM,
        "optimizer__nesterov": True,
        "lr": RATE,
        "batch_size": workload.batch,
        "train_split": None,
        "verbose": 0,
    }
    own: dict[str, Any] = {"mmd": {"sigmas": [factor * workload.features for factor in KERNELS]}}.get(method, {})
    if method == "dann":
        own = {"domain_classifier": _Reversed(workload.features), "domain_criterion": nn.BCEWithLogitsLoss()}
    make = {"source_only": deep.SourceOnly, "dann": deep.DANN, "coral": deep.DeepCoral, "mmd": deep.DAN}[method]
    net = make(_Named(workload), layer_name="body", max_epochs=1, **own, **options)
    net.initialize()
    epoch = len(source) // workload.batch

    def steps(count: int) -> None:
        for _ in range(max(1, count // epoch)):
            net.partial_fit(net._prepare_input(x, y, domain), None)

    steps.whole = epoch  # type: ignore[attr-defined]
    return steps


CONTESTANTS: dict[str, Callable[[Workload, str], Step]] = {
    "torch": functools.partial(plain, compiled=False),
    "compile": functools.partial(plain, compiled=True),
    "pytorch-adapt": pytorch_adapt,
    "skada": skada,
}


def steps_of(contestant: str, workload: str, method: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` steps."""
    run = _warm(contestant, workload, method)
    epoch = getattr(run, "whole", 1)
    made = max(1, steps // epoch) * epoch
    start = time.perf_counter()
    run(made)
    return {"seconds": (time.perf_counter() - start) * steps / made}


@functools.cache
def _warm(contestant: str, workload: str, method: str) -> Step:
    torch.manual_seed(0)
    run = CONTESTANTS[contestant](WORKLOADS[workload], method)
    run(5)
    return run


def images_of(contestant: str, network: str, part: str, steps: int) -> dict[str, float]:
    """Seconds of `steps` batches of images, predicted or trained on."""
    run = _images(contestant, network, part)
    start = time.perf_counter()
    run(steps)
    return {"seconds": time.perf_counter() - start}


@functools.cache
def _images(contestant: str, network: str, part: str) -> Step:
    _torchvision_without_operators()
    import torchvision

    model = getattr(torchvision.models, network)(num_classes=CLASSES).train(part == "train")
    updater = optimizer(model.parameters(), fused=True)
    inputs, labels = photographs()
    x, y = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels).long()

    def predict(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                model(x)

    def trained(count: int) -> None:
        for _ in range(count):
            updater.zero_grad(set_to_none=True)
            functional.cross_entropy(model(x), y).backward()
            updater.step()

    run = {"predict": predict, "train": trained}[part]
    run(1)
    return run


def loss_of(contestant: str, loss: str, n: int, d: int, repeats: int) -> dict[str, float]:
    """Seconds of value and gradient of one loss."""
    fn = _loss(contestant, loss)
    source, target = (torch.from_numpy(x).requires_grad_() for x in samples(n, d))
    torch.autograd.grad(fn(source, target), (source, target))
    start = time.perf_counter()
    for _ in range(repeats):
        torch.autograd.grad(fn(source, target), (source, target))
    return {"seconds": (time.perf_counter() - start) / repeats}


@functools.cache
def _loss(contestant: str, loss: str) -> Callable[[Tensor, Tensor], Tensor]:
    if contestant == "POT":
        return functools.partial(transported, pot)
    if contestant in ("torch", "compile"):
        plain = {"coral": coral, "mmd": mmd, "sinkhorn": functools.partial(transported, sinkhorn)}[loss]
        return torch.compile(plain) if contestant == "compile" else plain
    if contestant == "pytorch-adapt":
        _torchvision_without_operators()
        from pytorch_adapt import layers

        scales = torch.tensor([1 / factor for factor in KERNELS])
        return layers.CORALLoss() if loss == "coral" else layers.MMDLoss(kernel_scales=scales, mmd_type="quadratic")
    from skada.deep import losses

    return losses.deepcoral_loss if loss == "coral" else functools.partial(losses.dan_loss, sigmas=KERNELS)


def about() -> dict[str, Any]:
    """Versions and threads."""
    packages = ["torch", "torchvision", "pytorch-adapt", "skada", "skorch", "POT", "numpy"]
    return {"versions": versions(packages), "threads": torch.get_num_threads()}


def main() -> None:
    """Answer for one contestant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contestant", choices=[*CONTESTANTS, "POT"])
    contestant = parser.parse_args().contestant
    asked = {
        name: functools.partial(fn, contestant)
        for name, fn in {"steps": steps_of, "pictures": images_of, "loss": loss_of}.items()
    }
    serve({**asked, "about": about})


if __name__ == "__main__":
    main()
