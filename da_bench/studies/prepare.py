"""Preparation: everything that the runs of one compiled program need, resolved once."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from da_bench import models, pretrained
from da_bench.core.types import Array, Splits, Task, Tree
from da_bench.data.transforms import View, evaluation_input
from da_bench.evaluation.probes import Probe, feature_probe_indices, make_probes
from da_bench.methods import Method
from da_bench.models import Network
from da_bench.studies.data import labelled_splits
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.training import Data, gather_data


@dataclasses.dataclass(frozen=True)
class PreparedGroup:
    """Experiments that differ only in seed and float hyper-parameters, and all that their runs share.

    Attributes:
        experiments: of one compiled program; a classical method has one experiment a group.
        task: the loaded data; only scoring reads its target labels.
        labelled: the splits whose labels the runs may use.
        probes: what the runs predict at every evaluation, by name.
        model: the network, with the number of classes of the task.
        data: what training may see, not read yet; None for a classical method.
        kept_features: indices, among all rows of the probes, of those whose features every evaluation keeps.
        streamed: whether the data are read from disk during training, because they exceed `Options.resident_gib`.
        reverse: whether a reverse learner is trained for each run, for the rule `reverse_validation`.
        skip_reason: why the method cannot run on this task; None where it can.
    """

    experiments: tuple[Experiment, ...]
    task: Task
    labelled: Splits
    probes: dict[str, Probe]
    model: Network
    data: Data | None
    kept_features: np.ndarray
    streamed: bool
    reverse: bool
    skip_reason: str | None

    @property
    def example(self) -> Experiment:
        """The first experiment, for what all of them share."""
        return self.experiments[0]

    @property
    def transform(self) -> View | None:
        """How a training step transforms the stored inputs; None leaves them as they are."""
        return self.example.input_transform

    @property
    def ids(self) -> list[str]:
        """Run ids, in the order of the experiments."""
        return [experiment.id for experiment in self.experiments]

    @property
    def label(self) -> str:
        """What progress lines call the group."""
        return f"{self.task.name}: {self.example.method.name} x {len(self.experiments)}"

    @property
    def evaluation_steps(self) -> list[int]:
        """The steps after which the runs are evaluated: [e]."""
        training = self.example.training
        every = training.steps // training.evaluations
        return [every * (i + 1) for i in range(training.evaluations)]

    @functools.cached_property
    def example_inputs(self) -> Array:
        """Two inputs as the network takes them, for their shape: [2, ...]."""
        return evaluation_input(self.transform, self.labelled.train.inputs[:2])

    @functools.cached_property
    def variable_shapes(self) -> tuple[Tree, Tree]:
        """(parameters, statistics) of the network in shape alone: nothing is computed."""
        shapes: tuple[Tree, Tree] = jax.eval_shape(
            lambda key: models.initialise(self.model, key, self.example_inputs), jax.random.key(0)
        )
        return shapes

    def starting_data(self) -> Data:
        """Return what training may see, with the pretrained arrays that the network starts from."""
        assert self.data is not None
        return self.data._replace(pretrained=pretrained.initial_variables(self.example.network))

    def select(self, experiments: Sequence[Experiment]) -> "PreparedGroup":
        """Return the group with only some of its experiments."""
        return dataclasses.replace(self, experiments=tuple(experiments))

    def on_task(self, task: Task) -> "PreparedGroup":
        """Return the group on other data of the same kind, as a reverse learner needs."""
        return dataclasses.replace(self, task=task, **_fields_of_task(self.example, task))


def prepare(experiments: Sequence[Experiment], task: Task, options: Options) -> PreparedGroup:
    """Resolve what a group of experiments needs; no input is read and nothing is compiled.

    Args:
        experiments: of one compiled program, see `planner.group_by_program`.
        task: their loaded data.
        options: which features are kept, and whether the data are streamed.

    Raises:
        UserError: a class of the target has fewer rows than `Experiment.shots`, or inputs differ in type or shape.
    """
    example = experiments[0]
    fields = _fields_of_task(example, task)
    data, keep_features = fields["data"], options.validators == "all"
    return PreparedGroup(
        experiments=tuple(experiments),
        task=task,
        **fields,
        model=example.network.clone(classes=len(task.classes)),
        kept_features=np.concatenate(feature_probe_indices(fields["probes"])) if keep_features else np.empty(0, int),
        streamed=data is not None and data.inputs.nbytes > options.resident_gib * 2**30,
        reverse=options.reverses(example.method.name) and example.labels_from == "source",
        skip_reason=example.method.skip(task.without_target_labels()),
    )


def _fields_of_task(experiment: Experiment, task: Task) -> dict[str, Any]:
    """What the runs of an experiment's group use of a task: fields of `PreparedGroup`."""
    labelled = labelled_splits(experiment, task)
    probes = make_probes(labelled, task, experiment.labels_from == "target")
    data = None
    if isinstance(experiment.method, Method):
        inputs, of_target = zip(*probes.values(), strict=True)
        data = gather_data(labelled.train, task.target.train.inputs, inputs, of_target)
    return {"labelled": labelled, "probes": probes, "data": data}
