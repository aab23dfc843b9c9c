"""Fitting: from a prepared group to the outputs of its runs. No target label is used."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from da_bench.core.types import Tree
from da_bench.data.transforms import View, evaluation_input
from da_bench.evaluation.probes import RunOutput, output_of_run
from da_bench.methods import ClassicalMethod, Method
from da_bench.methods.base import Classifier
from da_bench.studies.context import StudyContext
from da_bench.studies.experiment import Experiment
from da_bench.studies.prepare import PreparedGroup
from da_bench.training import RunSettings, streaming
from da_bench.training.in_memory import Devices, InMemory
from da_bench.training.loop import GroupOutput, Session, fit

ROWS = 1000  # inputs of a classical method that pass a device at a time
WIDE = 10_000  # with this many parameters or more, a CPU computes runs in parallel no faster than in sequence


class Timing(NamedTuple):
    """Wall time of `together` runs that were one program.

    Attributes:
        compile: seconds to compile it.
        run: seconds to run it, in all sessions.
        together: number of runs.
    """

    compile: float
    run: float
    together: int


class FinishedRun(NamedTuple):
    """A run that has been computed and not yet scored.

    Attributes:
        experiment: what was run.
        output: its predictions and training curves.
        timing: of the program that computed it.
    """

    experiment: Experiment
    output: RunOutput
    timing: Timing


def fit_in_memory(group: PreparedGroup, context: StudyContext) -> Iterator[FinishedRun]:
    """Train all runs of a group as one compiled program over all devices, which hold the data."""
    output, timing = train_together(group, context, session_of(group, context))
    for i, experiment in enumerate(group.experiments):
        yield FinishedRun(experiment, output_of_run(output, i, group.probes, group.evaluation_steps), timing)


def train_together(
    group: PreparedGroup, context: StudyContext, session: Session, overrides: Sequence[Tree] = ()
) -> tuple[GroupOutput, Timing]:
    """Compile and train a group whose data the devices hold.

    Args:
        group: whose data fit on the devices.
        context: of the study.
        session: surroundings of the training loop.
        overrides: for each run fields of `Data` that replace the group's; () for none.
    """
    per_run, training = context.options.devices_per_run, group.example.training
    places = min(len(group.experiments), len(jax.devices()) // per_run)
    at_once = context.options.at_once or _runs_at_once(group)
    devices = Devices(tuple(jax.devices()[: places * per_run]), at_once, per_run)
    runs = [run_of(experiment) for experiment in group.experiments]
    runs = [run._replace(overrides=each) for run, each in zip(runs, overrides, strict=True)] if overrides else runs
    data = group.starting_data()
    start = time.monotonic()
    engine = InMemory(runs, group.model, data, group.transform, devices)
    compiled = time.monotonic() - start
    output = fit(engine, training, session)
    return output, Timing(compiled, output.seconds, len(runs))


def _runs_at_once(group: PreparedGroup) -> int | None:
    """1 where a wide network keeps a CPU busy alone; None, all at once, for tiny networks and on accelerators."""
    if jax.default_backend() != "cpu":
        return None
    params, _ = group.variable_shapes
    return 1 if sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) >= WIDE else None


def run_of(experiment: Experiment) -> RunSettings:
    """Return the part of an experiment that a compiled program takes as input."""
    assert isinstance(experiment.method, Method)
    return RunSettings(jax.random.key(experiment.seed), experiment.method, experiment.training)


def session_of(group: PreparedGroup, context: StudyContext) -> Session:
    """Return the surroundings of a group's training loop."""
    session = context.session(context.checkpoints(group.ids, group.task.fingerprint))
    session.kept_features = group.kept_features
    return session


def fit_streaming(group: PreparedGroup, context: StudyContext) -> Iterator[FinishedRun]:
    """Train the runs of a group one after another by the same compiled programs, reading their data on the way."""
    data, runs = group.starting_data(), [run_of(experiment) for experiment in group.experiments]
    start = time.monotonic()
    programs = streaming.build(runs[0], group.model, data, group.transform)
    compiled = (time.monotonic() - start) / len(runs)
    for experiment, run in zip(group.experiments, runs, strict=True):
        alone = group.select([experiment])
        session = session_of(alone, context)
        context.progress.start_group(alone.label, 1)  # each run counts from its first step to its last
        output = fit(streaming.Streamed(run, programs, data, context.options.workers), experiment.training, session)
        timing = Timing(compiled, output.seconds, 1)
        yield FinishedRun(experiment, output_of_run(output, 0, group.probes, group.evaluation_steps), timing)
        session.checkpoints.clear()


def fit_classical(group: PreparedGroup) -> Iterator[FinishedRun]:
    """Fit the runs of a classical method."""
    for experiment in group.experiments:
        start = time.monotonic()
        output = predict_probes(group, fit_classifier(group))
        yield FinishedRun(experiment, output, Timing(0.0, time.monotonic() - start, 1))


def fit_classifier(group: PreparedGroup) -> Classifier:
    """Fit a classical method to the labelled training rows and the target's training inputs."""
    method, source, transform = group.example.method, group.labelled.train, group.transform
    assert isinstance(method, ClassicalMethod)
    target = flatten_inputs(group.task.target.train.inputs, transform)
    return method.fit(flatten_inputs(source.inputs, transform), np.asarray(source.labels), target)


def predict_probes(group: PreparedGroup, classifier: Classifier) -> RunOutput:
    """Return the log-probabilities of the probes as the one evaluation of a run."""
    logits = {
        name: np.asarray(classifier.predict_log_proba(flatten_inputs(probe.inputs, group.transform)))[None]
        for name, probe in group.probes.items()
    }
    return RunOutput([0], logits, {}, {})


def flatten_inputs(inputs: Any, transform: View | None = None) -> np.ndarray:
    """Transform inputs [n, ...] as for a network's evaluation and flatten them to float64 rows [n, d]."""
    chunks = [
        np.asarray(evaluation_input(transform, inputs[start : start + ROWS]), np.float64)
        for start in range(0, len(inputs), ROWS)
    ]
    return np.concatenate(chunks).reshape(len(inputs), -1)
