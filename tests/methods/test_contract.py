"""What only a whole study shows of every method; the rest is in tests/conformance."""

import dataclasses

import numpy as np
import pytest
import tiny

from da_bench import execute
from da_bench.conformance.problem import ToyNet
from da_bench.experiment import Experiment
from da_bench.methods import METHODS, Shallow, load_plugins
from da_bench.settings import UserError, leaf_names

load_plugins()


def permuted_target(task):
    """The same task with every target label wrong or moved, in every split."""

    def shuffled(domain):
        return domain._replace(labels=(domain.labels + 1) % len(task.classes))

    return dataclasses.replace(task, target=type(task.target)(*map(shuffled, task.target)))


def predictions(method, task, **bound):
    experiment = Experiment(task=task.name, method=method, model=ToyNet(), training=tiny.TRAINING, **bound)
    if isinstance(method, Shallow):
        return execute.fit(experiment, task)[0]
    return tiny.made(experiment, task)


@pytest.mark.parametrize("name", tiny.one_of_each_kind(METHODS))
def test_target_labels_leave_every_prediction_bit_identical(name):
    task = tiny.task()
    honest, blind = predictions(METHODS[name](), task), predictions(METHODS[name](), permuted_target(task))
    assert honest.logits.keys() == blind.logits.keys()
    for probe in honest.logits:
        np.testing.assert_array_equal(honest.logits[probe], blind.logits[probe])


def test_the_leak_test_can_fail():
    """Trained on target labels, as the upper bound is, predictions do change when they are permuted."""
    task = tiny.task()
    honest, other = (
        predictions(METHODS["source_only"](), one, labels_from="target") for one in (task, permuted_target(task))
    )
    assert not np.array_equal(honest.logits["target_test"], other.logits["target_test"])


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, cls in METHODS.items() for field in leaf_names(cls)]
)
def test_no_hyper_parameter_of_ours_may_be_negative(name, field):
    with pytest.raises(UserError, match=rf"{METHODS[name].__name__}\.{field}"):
        METHODS[name](**{field: -1.0})
