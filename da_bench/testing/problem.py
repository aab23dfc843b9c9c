"""A problem so small that a method is trained on it in a second: three clusters in the plane, turned and squeezed."""

import flax.linen as nn
import numpy as np

from da_bench.core.types import Array, Domain, Output, Splits, Task
from da_bench.models import Network
from da_bench.models.layers import Dense
from da_bench.training import step as train
from da_bench.training.step import Training

CLASSES, ROWS, PROBES, BATCH = 3, 48, 60, 16
CENTRES = np.array([[-2.5, 0.0], [2.5, 0.0], [0.0, 1.5]])
SPREAD, TURN, SQUEEZE, SHIFT = 0.4, 0.4, (0.6, 1.3), (0.4, 0.2)  # what makes the target of the source: see `moved`
LONG = Training(steps=240, evaluations=1, batch_size=BATCH, learning_rate=0.05, decay_rate=0.0)
SHORT = Training(steps=3, evaluations=1, batch_size=8, learning_rate=0.1)


class ToyNet(Network):
    """A layer, batch normalisation and ReLU: what most methods meet in practice."""

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
    """Rows of the three classes in turn, each around its centre, of the source or of the target."""
    labels = np.arange(rows) % CLASSES
    inputs = CENTRES[labels] + SPREAD * rng.normal(size=(rows, 2))
    return Domain((moved(inputs) if target else inputs).astype(np.float32), labels.astype(np.int32))


def moved(inputs: np.ndarray) -> np.ndarray:
    """Points [n, 2] turned, squeezed and shifted: means and covariances both change."""
    turn = np.array([[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]])
    return inputs @ turn.T * SQUEEZE + SHIFT


def task(shifted: bool = True) -> Task:
    """The problem, or one of equal domains, under the name of a registered task; the draws are always the same."""
    rng = np.random.default_rng(0)
    source, target = (
        Splits(*[clusters(rng, rows, moves) for rows in (ROWS, PROBES, PROBES)]) for moves in (False, shifted)
    )
    return Task("moons/35", tuple("abc"), source, target)


def gathered(given: Task, dtype: type = np.float32) -> train.Data:
    """What a run may see of it; it predicts both test sets, the source's first."""
    source, target = given.source, given.target
    labelled = Domain(source.train.inputs.astype(dtype), source.train.labels)
    probes: list[Array] = [source.test.inputs.astype(dtype), target.test.inputs.astype(dtype)]
    return train.gather(labelled, target.train.inputs.astype(dtype), probes, [False, True])
