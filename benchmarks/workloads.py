"""What every contestant of `engine.py` trains on, and how it is spoken to; numpy only, as no one has all packages.

A contestant is a process that reads one JSON object a line and answers each with one: {"seconds": ...} or
{"absent": why}. The arrays come from one seed, so all have the same.
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
RATE, MOMENTUM = 0.01, 0.9
WIDTH = 1024  # of the discriminator's two hidden layers
KERNELS = (0.25, 0.5, 1.0, 2.0, 4.0)  # bandwidths of MMD, as multiples of the mean squared distance
EPSILON, ITERATIONS = 0.05, 50  # Sinkhorn's, the first as a multiple of the mean cost
METHODS = ("source_only", "dann", "coral", "mmd")


@dataclasses.dataclass(frozen=True)
class Workload:
    """inputs: shape of one, channels last; batch: rows of each domain in a step; features: width; steps: in a timing.

    seeds_steps: steps of a timing over seeds.
    """

    inputs: tuple[int, ...]
    classes: int
    batch: int
    features: int
    steps: dict[str, int]
    seeds_steps: dict[str, int]


WORKLOADS = {
    "W1": Workload(
        (28, 28, 1),
        10,
        64,
        500,
        {"source_only": 40, "dann": 20, "coral": 25, "mmd": 25},
        {"source_only": 10, "dann": 5},
    ),
    "W2": Workload(
        (2048,),
        31,
        32,
        256,
        {"source_only": 400, "dann": 60, "coral": 250, "mmd": 250},
        {"source_only": 100, "dann": 15},
    ),
}

PHOTOGRAPHS, PIXELS, CLASSES = 16, 224, 31  # of a step on a network for images
NETWORKS = ("mobilenet_v2", "resnet50")


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """Inputs [n, 224, 224, 3] and labels [n] of W4."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((PHOTOGRAPHS, PIXELS, PIXELS, 3), np.float32)
    return inputs, rng.integers(CLASSES, size=PHOTOGRAPHS, dtype=np.int32)


def arrays(workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Source inputs [n, ...], labels [n], target inputs [n, ...]."""
    rng = np.random.default_rng(0)
    source = rng.standard_normal((ROWS, *workload.inputs), np.float32)
    labels = rng.integers(workload.classes, size=ROWS, dtype=np.int32)
    return source, labels, rng.standard_normal((ROWS, *workload.inputs), np.float32) + np.float32(0.1)


def samples(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples [n, d] for a loss alone."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d), np.float32), rng.standard_normal((n, d), np.float32) + np.float32(0.1)


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of the packages that are installed here."""
    found = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    return {name: found[name.lower()] for name in packages if name.lower() in found}


def serve(answers: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer questions {"ask": name, ...its arguments} until the input ends; whatever is printed goes to stderr."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        number = question.pop("number", None)
        try:
            said = answers[question.pop("ask")](**question)
        except Exception as error:  # a contestant that cannot do this is shown as absent, with its reason
            said = {"absent": f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"}
        print(json.dumps({**said, "number": number}), file=answer, flush=True)
