"""A problem on which a method trains within a second: three clusters in the plane; the target rotated and squeezed."""

import flax.linen as nn
import numpy as np

from da_bench import training as train
from da_bench.core.types import Array, Domain, Output, Splits, Task
from da_bench.models import Network
from da_bench.models.layers import Dense
from da_bench.training import Training

CLASSES, ROWS, PROBES, BATCH = 3, 48, 60, 16
CENTRES = np.array([[-2.5, 0.0], [2.5, 0.0], [0.0, 1.5]])
SPREAD = 0.4  # standard deviation of a cluster
ANGLE, SQUEEZE, SHIFT = 0.4, (0.6, 1.3), (0.4, 0.2)  # from the source to the target, see `move_to_target`
LONG = Training(steps=240, evaluations=1, batch_size=BATCH, learning_rate=0.05, decay_rate=0.0)
SHORT = Training(steps=3, evaluations=1, batch_size=8, learning_rate=0.1)


class ToyNet(Network):
    """A dense layer, batch normalisation and ReLU: the parts of larger networks."""

    width: int = 16

    def setup(self) -> None:
        """Name the layers."""
        self.layer = Dense(self.width)
        self.norm = nn.BatchNorm(momentum=0.9)
        self.head = Dense(self.classes)

    def __call__(self, inputs: Array, train: bool) -> Output:
        """[n, 2] -> features [n, width], logits [n, classes]."""
        features = nn.relu(self.norm(self.layer(inputs), use_running_average=not train))
        return Output(features, self.classify(features))

    def classify(self, features: Array) -> Array:
        """[n, width] -> [n, classes]."""
        return self.head(features)


NETWORK = ToyNet(classes=CLASSES)


def clusters(rng: np.random.Generator, rows: int, target: bool = False) -> Domain:
    """Rows of the source or of the target, with the three classes in turn."""
    labels = np.arange(rows) % CLASSES
    inputs = CENTRES[labels] + SPREAD * rng.normal(size=(rows, 2))
    return Domain((move_to_target(inputs) if target else inputs).astype(np.float32), labels.astype(np.int32))


def move_to_target(inputs: np.ndarray) -> np.ndarray:
    """Rotate, squeeze and shift points [n, 2], which changes means and covariances."""
    rotation = np.array([[np.cos(ANGLE), -np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])
    return inputs @ rotation.T * SQUEEZE + SHIFT


def task(moved: bool = True) -> Task:
    """The problem, or one with equal domains, always with the same draws.

    It has the name of a registered task, because a task needs one.
    """
    rng = np.random.default_rng(0)
    source, target = (
        Splits(*[clusters(rng, rows, is_moved) for rows in (ROWS, PROBES, PROBES)]) for is_moved in (False, moved)
    )
    return Task("moons/35", tuple("abc"), source, target)


def gathered(task: Task, dtype: type = np.float32) -> train.Data:
    """The data of a run on the problem, which predicts both test sets, the source's first."""
    source, target = task.source, task.target
    labelled = Domain(source.train.inputs.astype(dtype), source.train.labels)
    probes: list[Array] = [source.test.inputs.astype(dtype), target.test.inputs.astype(dtype)]
    return train.gather_data(labelled, target.train.inputs.astype(dtype), probes, [False, True])
