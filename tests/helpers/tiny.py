"""Shapes so small that a test compiles in a second: three classes of two-dimensional blobs, the target shifted."""

import functools

import flax.linen as nn
import jax
import numpy as np
import pytest

from da_bench import models
from da_bench.core.progress import ProgressReporter
from da_bench.core.shutdown import StopRequest
from da_bench.core.types import Domain, Output, Splits, Task
from da_bench.models import Mlp, Network
from da_bench.studies.context import StudyContext
from da_bench.studies.fit import fit_in_memory
from da_bench.studies.options import Options
from da_bench.studies.prepare import prepare
from da_bench.training import Training


class Normed(Network):
    """A network with batch normalisation, whose statistics are those of the whole batch on any number of devices."""

    def setup(self):
        self.hidden = nn.Dense(6)
        self.norm = nn.BatchNorm(momentum=0.9)
        self.head = nn.Dense(self.classes)

    def __call__(self, inputs, train):
        features = nn.tanh(self.norm(self.hidden(inputs), use_running_average=not train))
        return Output(features, self.classify(features))

    def classify(self, features):
        return self.head(features)


MODEL = Mlp(hidden=(6,), activation="tanh")
NORMED = Normed()
KINDS = ("dann", "mcd", "tca")
TRAINING = Training(steps=12, evaluations=3, batch_size=8, learning_rate=0.1)


def blobs(generator, rows, shift, classes=3):
    labels = np.arange(rows) % classes
    angle = 2 * np.pi * labels / classes
    centres = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inputs = centres + 0.5 * generator.normal(size=(rows, 2)) + shift
    return Domain(inputs.astype(np.float32), labels.astype(np.int32))


def splits(seed, shift):
    generator = np.random.default_rng(seed)
    return Splits(*(blobs(generator, rows, shift) for rows in (30, 12, 18)))


def one_of_each_kind(names):
    """Test parameters: one method of each kind always, the other `names` only in `make conformance`."""
    return [name if name in KINDS else pytest.param(name, marks=pytest.mark.conformance) for name in names]


# compiled as one program each, which is faster than compiling every operation
initialise, forward = (jax.jit(function, static_argnums=0) for function in (models.initialise, models.forward))


@functools.partial(jax.jit, static_argnums=1)
def step(method, trainer, state, batch):
    """A method's step, compiled once."""
    return method.step(trainer, state, batch)


def task(name="moons/35", shift=0.8):
    """A small task under the name of a registered one."""
    return Task(name, ("a", "b", "c"), splits(0, 0.0), splits(1, shift))


def model_for(method):
    """The smallest network that a method, or its class, can train."""
    return NORMED if method.metadata.needs_batch_norm else MODEL


def prepared(experiment, task, **options):
    """The group of one experiment on a task of the test's own."""
    return prepare([experiment], task, Options(progress="none", **options))


def fitted(experiment, task, **options):
    """The output of one run of a network on a task of the test's own."""
    group = prepared(experiment, task, **options)
    context = StudyContext(None, Options(progress="none", **options), ProgressReporter(1, 1), StopRequest())
    (finished,) = fit_in_memory(group, context)
    return finished.output
