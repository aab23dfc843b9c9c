"""Reverse validation: does a learner that the target's pseudo-labels train lead back to the source?

The learner of a run, trained on the labelled source and the target's inputs, labels the target as it was when source
validation stopped it early. A reverse learner with the same method and settings is trained on the target with those
pseudo-labels and on the source's inputs. Its network starts from where the first one stopped; what belongs to the
method, such as a domain classifier, starts afresh. It stops early by the held-out target rows and their pseudo-labels.
Its accuracy on the held-out source rows is the score of the setting: `validators.reverse_validation`.

Only inputs of the target enter here, as `UnlabelledSplits`, so no target label can take part.

References:
    Zhong, Fan, Yang, Verscheure and Ren, Cross Validation Framework to Choose amongst Models and Datasets for Transfer
    Learning, ECML PKDD 2010; Ganin et al., JMLR 2016, Section 5.1.2.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from da_bench.core.types import Array, Domain, Splits, Task, Tree
from da_bench.evaluation.probes import RunOutput, output_of_run
from da_bench.evaluation.validators import checkpoint_accuracy, last_argmax
from da_bench.methods import Method
from da_bench.methods.base import Classifier
from da_bench.studies.context import REVERSE, StudyContext
from da_bench.studies.fit import (
    FinishedRun,
    Timing,
    fit_classifier,
    flatten_inputs,
    predict_probes,
    run_of,
    session_of,
    train_together,
)
from da_bench.studies.prepare import PreparedGroup
from da_bench.training import make_predictor
from da_bench.training.loop import GroupOutput


class UnlabelledSplits(NamedTuple):
    """The training and the held-out part of a domain without its labels.

    Attributes:
        train: inputs [n, ...], or classes of them [n].
        validation: inputs [v, ...], or classes of them [v].
    """

    train: Any
    validation: Any


def fit_with_reverse(group: PreparedGroup, context: StudyContext) -> Iterator[FinishedRun]:
    """Train all runs of a group as one program, then their reverse learners as another."""
    session, labels = session_of(group, context), group.labelled.validation.labels
    session.checkpoint_score = lambda logits: checkpoint_accuracy(logits[:, : len(labels)], labels)  # the first probe
    output, timing = train_together(group, context, session)
    variables = [_best_variables(group, output, i) for i in range(len(group.experiments))]
    predict = make_predictor(run_of(group.example), group.model, group.transform)
    reverse_tasks = [reverse_task(group.task, functools.partial(predict, each)) for each in variables]
    reverse_group = group.on_task(reverse_tasks[0])  # the tasks differ in pseudo-labels alone
    reverse_output, reverse_timing = _train_reverse(reverse_group, reverse_tasks, variables, context)
    total = Timing(timing.compile + reverse_timing.compile, timing.run + reverse_timing.run, timing.together)
    for i, experiment in enumerate(group.experiments):
        forward = output_of_run(output, i, group.probes, group.evaluation_steps)
        backward = output_of_run(reverse_output, i, reverse_group.probes, group.evaluation_steps)
        yield FinishedRun(experiment, with_reverse_classes(forward, backward, group.task, reverse_tasks[i]), total)


def _best_variables(group: PreparedGroup, output: GroupOutput, index: int) -> tuple[Tree, Tree]:
    """(parameters, statistics) of a run at its best evaluation by source validation."""
    method = group.example.method
    assert output.best is not None
    assert isinstance(method, Method)
    return method.inference_variables(jax.tree.map(lambda leaf: leaf[index], output.best.state))


def _train_reverse(
    group: PreparedGroup, tasks: Sequence[Task], variables: Sequence[tuple[Tree, Tree]], context: StudyContext
) -> tuple[GroupOutput, Timing]:
    """Train reverse learners, each on its own task and from the (parameters, statistics) of its run."""
    context.progress.start_group(f"{group.label}, in reverse", len(group.experiments))
    session = context.session(context.checkpoints(group.ids, group.task.fingerprint, REVERSE))
    batch_norm = group.example.training.batch_norm
    overrides = [
        {"labels": task.source.train.labels, "pretrained": initial_variables(*each, batch_norm)}
        for task, each in zip(tasks, variables, strict=True)
    ]
    return train_together(group, context, session, overrides)


def initial_variables(params: Tree, stats: Tree, batch_norm: str) -> Tree:
    """Return what a reverse learner's network starts from, as in `Data.pretrained`.

    With domain-specific batch normalisation these are the statistics of the target, its new source.
    """
    return {"params": params, **(stats["target"] if batch_norm == "domain_specific" else stats)}


def fit_classical_with_reverse(group: PreparedGroup) -> Iterator[FinishedRun]:
    """Fit the runs of a classical method, then their reverse learners.

    A run whose pseudo-labels are all of one class has no reverse learner and scores NaN.
    """
    for experiment in group.experiments:
        start = time.monotonic()
        classifier = fit_classifier(group)
        output = predict_probes(group, classifier)
        task = reverse_task(group.task, functools.partial(_log_proba, classifier, group))
        if len(np.unique(task.source.train.labels)) > 1:
            reverse_group = group.on_task(task)
            backward = predict_probes(reverse_group, fit_classifier(reverse_group))
            output = with_reverse_classes(output, backward, group.task, task)
        else:
            output = output._replace(reverse_classes=np.full((1, len(group.labelled.validation.labels)), np.nan))
        yield FinishedRun(experiment, output, Timing(0.0, time.monotonic() - start, 1))


def _log_proba(classifier: Classifier, group: PreparedGroup, inputs: np.ndarray) -> Array:
    log_proba: Array = classifier.predict_log_proba(flatten_inputs(inputs, group.transform))
    return log_proba


def reverse_task(task: Task, predict: Callable[[np.ndarray], Array]) -> Task:
    """Return the task of a reverse learner.

    Args:
        task: of the run.
        predict: target inputs [n, ...] to the run's logits [n, c].
    """
    target = unlabelled(task.target)
    source, reverse_target = swap_domains(task.source, target, pseudo_labels(predict, target))
    return dataclasses.replace(task, source=source, target=reverse_target, origin=task.fingerprint)


def unlabelled(domain: Splits) -> UnlabelledSplits:
    """Return the inputs of a domain."""
    return UnlabelledSplits(domain.train.inputs, domain.validation.inputs)


def pseudo_labels(predict: Callable[[np.ndarray], Array], target: UnlabelledSplits) -> UnlabelledSplits:
    """Return the target's classes [n] and [v], int32, by a function of inputs [n, ...] to logits [n, c]."""
    return UnlabelledSplits(
        *(np.asarray(predict(np.asarray(inputs))).argmax(axis=1).astype(np.int32) for inputs in target)
    )


def swap_domains(source: Splits, target: UnlabelledSplits, classes: UnlabelledSplits) -> tuple[Splits, Splits]:
    """Return (source, target) of a reverse learner: the target with its pseudo-labels, and the source.

    The held-out part also takes the place of the test split; nothing else is scored.
    """
    train, held_out = (Domain(inputs, labels) for inputs, labels in zip(target, classes, strict=True))
    return Splits(train, held_out, held_out), Splits(source.train, source.validation, source.validation)


def with_reverse_classes(forward: RunOutput, backward: RunOutput, task: Task, reversed_task: Task) -> RunOutput:
    """Add to a run's output what its reverse learner predicts for the held-out source.

    Both learners count at the evaluation at which early stopping takes them.
    """
    chosen = early_stop(forward.logits["validation"], task.source.validation.labels)
    last = early_stop(backward.logits["validation"], reversed_task.source.validation.labels)
    logits = backward.logits["target_validation"][last]
    return forward._replace(reverse_classes=classes_at(logits, chosen, len(forward.steps)))


def early_stop(logits: Array, labels: Array) -> int:
    """Return the evaluation of the highest accuracy, the latest of equals: logits [e, v, c], labels [v]."""
    return last_argmax(checkpoint_accuracy(logits, labels))


def classes_at(logits: Array, evaluation: int, evaluations: int) -> np.ndarray:
    """Return the `reverse_predictions` [e, v] of `ValidatorInputs` from logits [v, c] at one evaluation.

    NaN at the other evaluations, and everywhere if a logit is not finite.
    """
    classes = np.full((evaluations, len(logits)), np.nan)
    if np.isfinite(logits).all():
        classes[evaluation] = np.asarray(logits).argmax(axis=1)
    return classes
