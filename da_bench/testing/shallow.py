"""Checks of methods without a training loop."""

import dataclasses
import functools
from typing import Any

import numpy as np

from da_bench.core.config import UserError
from da_bench.core.types import Task
from da_bench.testing import problem
from da_bench.testing.base import check, need
from da_bench.testing.problem import CLASSES
from da_bench.testing.subject import Subject, given

FURTHER = (1.2, 0.0)


def fitted(subject: Subject, source: Any, labels: Any, target: Any) -> Any:
    """The classifier of these inputs, as double rows."""
    return subject.method.fit(np.asarray(source, float), np.asarray(labels), np.asarray(target, float))


def _of(subject: Subject, task: Task) -> Any:
    return fitted(subject, *task.source.train, task.target.train.inputs)


def accuracies(subject: Subject, moved: bool) -> tuple[float, float]:
    """On the target's test set, and of a nearest neighbour there without adapting; moved: whether domains differ."""
    task = _further(given(True)) if moved else given(False)
    inputs, labels = task.target.test
    own = np.asarray(_of(subject, task).predict_log_proba(inputs.astype(float))).argmax(axis=1)
    nearest = np.linalg.norm(inputs[:, None] - task.source.train.inputs[None], axis=2).argmin(axis=1)
    return float((own == labels).mean()), float((task.source.train.labels[nearest] == labels).mean())


def _further(task: Task) -> Task:
    """Its target shifted by more, which a nearest neighbour does not stand."""
    parts = [part._replace(inputs=np.asarray(part.inputs) + np.array(FURTHER, np.float32)) for part in task.target]
    return dataclasses.replace(task, target=type(task.target)(*parts))


@check("shallow")
def classifies_the_source(subject: Subject) -> None:
    """Where both domains are the same, new rows are classified, by finite log-probabilities that sum to one."""
    task = given(False)
    found = np.asarray(_of(subject, task).predict_log_proba(task.source.test.inputs.astype(float)))
    need(found.shape == (len(task.source.test.labels), CLASSES), f"predictions have shape {found.shape}")
    need(np.allclose(np.exp(found).sum(axis=1), 1), "probabilities do not sum to one")
    reached = float((found.argmax(axis=1) == task.source.test.labels).mean())
    need(reached > 0.9, f"accuracy is {reached:.0%}")


@check("shallow")
def fits_the_same_twice(subject: Subject) -> None:
    """Two fits predict the same to the last bit, and leave the arrays alone that they are handed."""
    task = given(True)
    arrays = [np.array(each, float) for each in (task.source.train.inputs, task.target.train.inputs)]
    copies = [np.copy(each) for each in arrays]
    predict = [fitted(subject, arrays[0], task.source.train.labels, arrays[1]).predict_log_proba for _ in range(2)]
    first, again = (np.asarray(each(task.target.test.inputs.astype(float))) for each in predict)
    need(np.array_equal(first, again), "two fits of the same rows differ")
    need(all(map(np.array_equal, arrays, copies)), "its inputs are not what they were before")


@check("shallow")
def predicts_each_row_by_itself(subject: Subject) -> None:
    """A row is predicted alike whatever stands around it."""
    inputs = given(True).target.test.inputs.astype(float)
    predict = _of(subject, given(True)).predict_log_proba
    alone = np.concatenate([np.asarray(predict(row[None])) for row in inputs[:5]])
    need(np.allclose(np.asarray(predict(inputs))[:5], alone, atol=1e-6), "predictions change with the rows around")


@check("shallow")
def takes_any_rows(subject: Subject) -> None:
    """Few, duplicate and constant rows, columns without variance and a missing class: finite, or one clear error."""
    rng = np.random.default_rng(0)
    source, labels = problem.clusters(rng, 12)
    target, _ = problem.clusters(rng, 9, True)
    wide = functools.partial(np.pad, pad_width=((0, 0), (0, 30)))
    cases = {
        "one target row": (source, labels, target[:1]),
        "duplicate rows": (np.repeat(source, 2, 0), np.repeat(labels, 2), np.repeat(target, 3, 0)),
        "constant target rows": (source, labels, np.ones_like(target)),
        "more columns than rows, most constant": (wide(source), labels, wide(target)),
        "one column": (source[:, :1], labels, target[:, :1]),
        "a missing class": (source[labels < 2], labels[labels < 2], target),
    }
    for name, (ours, of_ours, theirs) in cases.items():
        try:
            found = np.asarray(fitted(subject, ours, of_ours, theirs).predict_log_proba(np.asarray(theirs, float)))
        except UserError:
            continue
        need(np.isfinite(found).all(), f"predictions are not finite for {name}")
