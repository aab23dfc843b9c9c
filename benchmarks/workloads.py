"""The inputs of `benchmarks.engine` and the protocol of its workers. NumPy only: no worker has all packages.

A worker is a process that reads one JSON object per line and answers each with one: {"seconds": ...} or
{"absent": reason}. All arrays come from fixed seeds, so all workers use the same ones.
"""

import dataclasses
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ROWS = 2048  # of each domain
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DISCRIMINATOR_WIDTH = 1024  # of its two hidden layers
MMD_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths as multiples of the mean squared distance
SINKHORN_EPSILON, SINKHORN_ITERATIONS = 0.05, 50  # epsilon as a multiple of the mean cost
METHOD_NAMES = ("source_only", "dann", "coral", "mmd")


@dataclasses.dataclass(frozen=True)
class Workload:
    """A training problem.

    Attributes:
        input_shape: shape of one input, channels last.
        num_classes: number of classes.
        batch_size: rows of each domain in a batch.
        num_features: width of the features.
        steps: steps of one timing, by method.
        seed_steps: steps of one timing over several seeds, by method.
    """

    input_shape: tuple[int, ...]
    num_classes: int
    batch_size: int
    num_features: int
    steps: dict[str, int]
    seed_steps: dict[str, int]


WORKLOADS = {
    "W1": Workload(  # LeNet on images of digits
        input_shape=(28, 28, 1),
        num_classes=10,
        batch_size=64,
        num_features=500,
        steps={"source_only": 40, "dann": 20, "coral": 25, "mmd": 25},
        seed_steps={"source_only": 10, "dann": 5},
    ),
    "W2": Workload(  # a bottleneck on features of a ResNet-50
        input_shape=(2048,),
        num_classes=31,
        batch_size=32,
        num_features=256,
        steps={"source_only": 400, "dann": 60, "coral": 250, "mmd": 250},
        seed_steps={"source_only": 100, "dann": 15},
    ),
}

IMAGE_BATCH_SIZE, IMAGE_PIXELS, IMAGE_CLASSES = 16, 224, 31
IMAGE_NETWORKS = ("mobilenet_v2", "resnet50")


def image_batch() -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 224, 224, 3] and labels [n] for the image networks."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGE_BATCH_SIZE, IMAGE_PIXELS, IMAGE_PIXELS, 3), np.float32)
    return images, rng.integers(IMAGE_CLASSES, size=IMAGE_BATCH_SIZE, dtype=np.int32)


def training_arrays(workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source inputs [n, ...], source labels [n] and target inputs [n, ...]."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal((ROWS, *workload.input_shape), np.float32)
    labels = rng.integers(workload.num_classes, size=ROWS, dtype=np.int32)
    return source, labels, rng.standard_normal((ROWS, *workload.input_shape), np.float32) + np.float32(0.1)


def loss_inputs(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of source and target for a single loss, both [n, d]."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d), np.float32), rng.standard_normal((n, d), np.float32) + np.float32(0.1)


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of those packages that are installed here."""
    installed = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    return {name: installed[name.lower()] for name in packages if name.lower() in installed}


def serve(handlers: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer requests {"request": name, ...arguments} until the input ends; other output goes to stderr.

    Args:
        handlers: functions by the name of the request.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        number = request.pop("number", None)
        try:
            answer = handlers[request.pop("request")](**request)
        except Exception as error:  # the report lists a worker that cannot do this as absent, with the reason
            answer = {"absent": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}
        print(json.dumps({**answer, "number": number}), file=answers, flush=True)
