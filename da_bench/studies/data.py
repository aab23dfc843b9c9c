"""The data of an experiment: its task, and the labels that the run may use."""

from pathlib import Path
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits, Task
from da_bench.data.lazy_arrays import Joined, Rows
from da_bench.data.tasks import load
from da_bench.data.transforms import View
from da_bench.pretrained import features, representations
from da_bench.pretrained.features import FeatureExtractor
from da_bench.pretrained.representations import Msda
from da_bench.studies.experiment import Experiment


def load_task(experiment: Experiment, data_root: Path | None = None) -> Task:
    """Load the data of a run; compute features and representations that are not in the store yet.

    Args:
        experiment: names the task, and what replaces its inputs.
        data_root: folder of the user's data sets; None is $DA_BENCH_DATA.

    Raises:
        UserError: data or weights are missing, damaged or do not fit together.
    """
    task = load(experiment.task, data_root, experiment.view)
    if experiment.features:
        assert experiment.view is not None
        task = features.extract_features(task, FeatureExtractor(experiment.features, experiment.view))
    return representations.represent(task, experiment.msda) if experiment.msda else task


def load_labels(experiment: Experiment, data_root: Path | None = None) -> Task:
    """Load the task of a run for its labels alone.

    Its inputs are the stored ones; its fingerprint is that of `load_task`, without computing any feature.
    """
    task = load(experiment.task, data_root, experiment.view)
    return with_fingerprint(task, experiment.view, experiment.features, experiment.msda)


def with_fingerprint(task: Task, view: View | None, weights: str | None, msda: Msda | None) -> Task:
    """Give a task of stored inputs the fingerprint of the features and representations computed from them.

    Args:
        task: with its stored inputs.
        view: how images are read; None for other inputs.
        weights: name of the imported weights whose features replace the images; "" or None for none.
        msda: the autoencoders whose output replaces the inputs; None for none.
    """
    if weights and view:
        task = features.with_features_origin(task, FeatureExtractor(weights, view))
    return representations.with_representation_origin(task, msda) if msda else task


def labelled_splits(experiment: Experiment, task: Task) -> Splits:
    """Return the splits whose labels the run may use: for training, and for label-free selection rules.

    Raises:
        UserError: a class of the target has fewer rows than `experiment.shots`.
    """
    if experiment.labels_from == "source":
        return task.source
    if experiment.shots is None:
        return task.target
    few = first_of_each_class(task.target.train, experiment.shots)
    if experiment.labels_from == "target":
        return task.target._replace(train=few, validation=few)  # the run sees no other label of the target
    return task.source._replace(train=concatenate(task.source.train, few))


def first_of_each_class(domain: Domain, shots: int) -> Domain:
    """Return the first `shots` rows of each class: the same for every seed and method, and part of any larger number.

    Raises:
        UserError: a class has fewer rows.
    """
    labels = np.asarray(domain.labels)
    rows_by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    if (fewest := min(map(len, rows_by_class))) < shots:
        raise UserError(f"Experiment.shots = {shots}: the target's training split has only {fewest} rows of some class")
    rows = np.sort(np.concatenate([class_rows[:shots] for class_rows in rows_by_class]))
    inputs = domain.inputs
    lazy: Any = Rows(inputs.array, inputs.index[rows]) if isinstance(inputs, Rows) else Rows(inputs, rows)
    return Domain(lazy, labels[rows])


def concatenate(first: Domain, second: Domain) -> Domain:
    """Concatenate two labelled domains without reading their inputs."""
    joined: Any = Joined((first.inputs, second.inputs))
    inputs: Any = Rows(joined, np.arange(len(joined)))
    return Domain(inputs, np.concatenate([first.labels, second.labels]))
