"""Probes: the inputs that a run predicts at every evaluation, and the outputs that it leaves for them.

No target label is in this module: a probe holds inputs alone.
"""

from typing import Any, NamedTuple

import numpy as np

from da_bench.core.types import Splits, Task
from da_bench.data.lazy_arrays import Mixed, first
from da_bench.evaluation import validators
from da_bench.evaluation.validators.neighbourhoods import MIXVAL_WEIGHT
from da_bench.training.loop import GroupOutput

TESTS = ("source_test", "target_test")
FEATURE_PROBES = ("train", "validation", "target_validation")  # in the order of `validators.CheckpointFeatures`


class Probe(NamedTuple):
    """Inputs to predict.

    Attributes:
        inputs: [n, ...], not read yet.
        of_target: whether they come from the target domain.
    """

    inputs: Any
    of_target: bool


class RunOutput(NamedTuple):
    """What one run leaves, by the name of the probe: all that its scores are computed from.

    Attributes:
        steps: [e] the steps after which it was evaluated; a classical method has one evaluation, at step 0.
        logits: [e, n, c] of every probe.
        metrics: [e] by name, each the mean over the steps since the evaluation before.
        features: [n, d] of every probe after the last step; empty for a classical method.
        kept_features: of the first rows of FEATURE_PROBES at every evaluation; None where they were not kept.
        state: SHA-256 of the last training state, None for a classical method. Equal digests mean equal bits.
        reverse_classes: [e, v] classes that the reverse learner gives the held-out source, `reverse_predictions` of
            `validators.ValidatorInputs`.
    """

    steps: list[int]
    logits: dict[str, np.ndarray]
    metrics: dict[str, np.ndarray]
    features: dict[str, np.ndarray]
    kept_features: validators.CheckpointFeatures | None = None
    state: str | None = None
    reverse_classes: np.ndarray | None = None


def make_probes(labelled: Splits, task: Task, labelled_is_target: bool) -> dict[str, Probe]:
    """Choose what a run predicts at every evaluation.

    Held-out labelled rows, held-out target rows and both test sets; for validators also the first rows of the labelled
    training split, and mixtures of the first held-out target rows.

    Args:
        labelled: the splits whose labels the run may use.
        task: the domain pair; only its inputs are used.
        labelled_is_target: whether `labelled` is the target domain, as for the upper bound.

    Returns:
        Probes by name, in the order in which their rows are predicted.
    """
    held_out_target = task.target.validation.inputs
    return {
        "validation": Probe(labelled.validation.inputs, labelled_is_target),
        "target_validation": Probe(held_out_target, True),
        "source_test": Probe(task.source.test.inputs, False),
        "target_test": Probe(task.target.test.inputs, True),
        "train": Probe(first(labelled.train.inputs, validators.MAX_ROWS), labelled_is_target),
        "target_mixed": Probe(Mixed(first(held_out_target, validators.MAX_ROWS), MIXVAL_WEIGHT), True),
    }


def feature_probe_indices(probes: dict[str, Probe]) -> list[np.ndarray]:
    """Locate the rows whose features validators compare.

    Returns:
        For each of FEATURE_PROBES the indices of its first rows, counted over the rows of all probes in their order.
    """
    lengths = [len(probe.inputs) for probe in probes.values()]
    starts = dict(zip(probes, np.cumsum([0, *lengths])[:-1], strict=True))
    return [starts[name] + np.arange(min(len(probes[name].inputs), validators.MAX_ROWS)) for name in FEATURE_PROBES]


def output_of_run(group: GroupOutput, index: int, probes: dict[str, Probe], steps: list[int]) -> RunOutput:
    """Extract one run from the output of its group.

    Args:
        group: arrays over all runs and all probes.
        index: of the run in the group.
        probes: in the order in which they were predicted.
        steps: [e] the steps of the evaluations.
    """
    ends = np.cumsum([len(probe.inputs) for probe in probes.values()])[:-1]
    kept_features = None
    if group.kept_features.size:
        kept_ends = np.cumsum([len(indices) for indices in feature_probe_indices(probes)])[:-1]
        kept_features = validators.CheckpointFeatures(*np.split(group.kept_features[index], kept_ends, axis=1))
    return RunOutput(
        steps=steps,
        logits=dict(zip(probes, np.split(group.logits[index], ends, axis=1), strict=True)),
        metrics={name: values[index] for name, values in group.metrics.items()},
        features=dict(zip(probes, np.split(group.features[index], ends), strict=True)),
        kept_features=kept_features,
        state=group.states[index],
    )
