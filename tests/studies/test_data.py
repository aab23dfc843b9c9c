"""What labels a run is given."""

import numpy as np
import pytest

import da_bench as da
from da_bench.core.config import UserError
from da_bench.methods import SourceOnly
from da_bench.studies.data import labelled_splits
from da_bench.studies.experiment_files import from_config
from tests.helpers import tiny

TASK = tiny.task()


def experiment(**settings):
    return da.Experiment(task="moons/35", method=SourceOnly(), **settings)


def test_without_shots_it_is_one_domain_or_the_other():
    assert labelled_splits(experiment(), TASK) is TASK.source
    assert labelled_splits(experiment(labels_from="target"), TASK) is TASK.target


@pytest.mark.parametrize("shots", [1, 3])
def test_few_labels_are_the_first_of_each_class_and_no_other(shots):
    found = labelled_splits(experiment(labels_from="target", shots=shots), TASK)
    train = TASK.target.train
    assert np.bincount(found.train.labels).tolist() == [shots] * 3
    rows = [int(row) for label in range(3) for row in np.flatnonzero(train.labels == label)[:shots]]
    np.testing.assert_array_equal(np.asarray(found.train.inputs), train.inputs[sorted(rows)])
    assert found.validation is found.train  # a rule that looks at labels sees just these


def test_beside_the_sources_they_come_last():
    found = labelled_splits(experiment(labels_from="both", shots=2), TASK)
    few = labelled_splits(experiment(labels_from="target", shots=2), TASK).train
    for ours, first, last in zip(found.train, TASK.source.train, few, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.concatenate([np.asarray(first), np.asarray(last)]))
    assert found.validation is TASK.source.validation


def test_too_many_shots_are_refused():
    with pytest.raises(UserError, match=r"Experiment.shots = 11: .* has only 10 rows of some class"):
        labelled_splits(experiment(labels_from="target", shots=11), TASK)


@pytest.mark.parametrize(
    ("settings", "says"), [({"shots": 2}, "give labels_from"), ({"labels_from": "both"}, "needs shots")]
)
def test_what_makes_no_sense_is_refused(settings, says):
    with pytest.raises(UserError, match=says):
        experiment(**settings)


def test_the_config_of_runs_without_does_not_know_them():
    assert not {"shots", "features"} & experiment().config().keys()
    one = experiment(labels_from="both", shots=2)
    assert one.config()["shots"] == 2
    assert from_config(one.config()).id == one.id


def test_a_run_learns_from_the_few():
    training = da.Training(steps=60, evaluations=1, batch_size=6, learning_rate=0.1)
    few = experiment(labels_from="target", shots=2, training=training, model=tiny.MODEL)
    made = tiny.fitted(few, tiny.task(shift=3.0))
    accuracy = (made.logits["target_test"][-1].argmax(1) == TASK.target.test.labels).mean()
    assert accuracy > 0.9
