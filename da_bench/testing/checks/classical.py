"""Checks of classical methods."""

import dataclasses
import functools
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Task
from da_bench.testing import problem
from da_bench.testing.base import check, require
from da_bench.testing.method_under_test import MethodUnderTest, problem_task
from da_bench.testing.problem import CLASSES

FURTHER_SHIFT = (1.2, 0.0)


def fitted(under_test: MethodUnderTest, source: Any, labels: Any, target: Any) -> Any:
    """The classifier fitted on these inputs, in double precision."""
    return under_test.method.fit(np.asarray(source, float), np.asarray(labels), np.asarray(target, float))


def _fitted_on(under_test: MethodUnderTest, task: Task) -> Any:
    return fitted(under_test, *task.source.train, task.target.train.inputs)


def target_accuracies(under_test: MethodUnderTest, moved: bool) -> tuple[float, float]:
    """Accuracy on the target's test set of the method, and of the nearest source row; moved: whether domains differ."""
    task = _with_further_shift(problem_task(True)) if moved else problem_task(False)
    inputs, labels = task.target.test
    predicted = np.asarray(_fitted_on(under_test, task).predict_log_proba(inputs.astype(float))).argmax(axis=1)
    nearest = np.linalg.norm(inputs[:, None] - task.source.train.inputs[None], axis=2).argmin(axis=1)
    return float((predicted == labels).mean()), float((task.source.train.labels[nearest] == labels).mean())


def _with_further_shift(task: Task) -> Task:
    """The task with its target shifted so far that a nearest neighbour fails."""
    shift = np.array(FURTHER_SHIFT, np.float32)
    parts = [part._replace(inputs=np.asarray(part.inputs) + shift) for part in task.target]
    return dataclasses.replace(task, target=type(task.target)(*parts))


@check("classical")
def classifies_the_source(under_test: MethodUnderTest) -> None:
    """Where both domains are equal, it classifies new rows, with finite log-probabilities that sum to one."""
    task = problem_task(False)
    predictions = np.asarray(_fitted_on(under_test, task).predict_log_proba(task.source.test.inputs.astype(float)))
    require(predictions.shape == (len(task.source.test.labels), CLASSES), f"predictions have shape {predictions.shape}")
    require(np.allclose(np.exp(predictions).sum(axis=1), 1), "probabilities do not sum to one")
    reached = float((predictions.argmax(axis=1) == task.source.test.labels).mean())
    require(reached > 0.9, f"accuracy is {reached:.0%}")


@check("classical")
def fits_the_same_twice(under_test: MethodUnderTest) -> None:
    """Two fits predict the same to the last bit, and do not change their input arrays."""
    task = problem_task(True)
    arrays = [np.array(each, float) for each in (task.source.train.inputs, task.target.train.inputs)]
    copies = [np.copy(each) for each in arrays]
    predict = [fitted(under_test, arrays[0], task.source.train.labels, arrays[1]).predict_log_proba for _ in range(2)]
    first, again = (np.asarray(each(task.target.test.inputs.astype(float))) for each in predict)
    require(np.array_equal(first, again), "two fits of the same rows differ")
    require(all(map(np.array_equal, arrays, copies)), "fit changes its input arrays")


@check("classical")
def predicts_each_row_by_itself(under_test: MethodUnderTest) -> None:
    """The prediction of a row does not depend on the rows around it."""
    inputs = problem_task(True).target.test.inputs.astype(float)
    predict = _fitted_on(under_test, problem_task(True)).predict_log_proba
    alone = np.concatenate([np.asarray(predict(row[None])) for row in inputs[:5]])
    require(np.allclose(np.asarray(predict(inputs))[:5], alone, atol=1e-6), "predictions change with the other rows")


@check("classical")
def takes_any_rows(under_test: MethodUnderTest) -> None:
    """Few, duplicate or constant rows, constant columns and a missing class: finite predictions or a UserError."""
    rng = np.random.default_rng(0)
    source, labels = problem.clusters(rng, 12)
    target, _ = problem.clusters(rng, 9, True)
    widen = functools.partial(np.pad, pad_width=((0, 0), (0, 30)))
    cases = {
        "one target row": (source, labels, target[:1]),
        "duplicate rows": (np.repeat(source, 2, 0), np.repeat(labels, 2), np.repeat(target, 3, 0)),
        "constant target rows": (source, labels, np.ones_like(target)),
        "more columns than rows, most constant": (widen(source), labels, widen(target)),
        "one column": (source[:, :1], labels, target[:, :1]),
        "a missing class": (source[labels < 2], labels[labels < 2], target),
    }
    for name, (source_rows, source_labels, target_rows) in cases.items():
        try:
            classifier = fitted(under_test, source_rows, source_labels, target_rows)
            predictions = np.asarray(classifier.predict_log_proba(np.asarray(target_rows, float)))
        except UserError:
            continue
        require(np.isfinite(predictions).all(), f"predictions are not finite for {name}")
