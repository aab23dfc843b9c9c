"""Labels that a run trains on."""

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


def test_without_shots_the_labels_are_those_of_one_domain():
    assert labelled_splits(experiment(), TASK) is TASK.source
    assert labelled_splits(experiment(labels_from="target"), TASK) is TASK.target


@pytest.mark.parametrize("shots", [1, 3])
def test_shots_are_the_first_rows_of_each_class(shots):
    splits = labelled_splits(experiment(labels_from="target", shots=shots), TASK)
    train = TASK.target.train
    assert np.bincount(splits.train.labels).tolist() == [shots] * 3
    rows = [int(row) for label in range(3) for row in np.flatnonzero(train.labels == label)[:shots]]
    np.testing.assert_array_equal(np.asarray(splits.train.inputs), train.inputs[sorted(rows)])
    assert splits.validation is splits.train  # rules that use labels see the same few


def test_shots_follow_the_source_rows_in_both():
    splits = labelled_splits(experiment(labels_from="both", shots=2), TASK)
    few = labelled_splits(experiment(labels_from="target", shots=2), TASK).train
    for actual, first, last in zip(splits.train, TASK.source.train, few, strict=True):
        np.testing.assert_array_equal(np.asarray(actual), np.concatenate([np.asarray(first), np.asarray(last)]))
    assert splits.validation is TASK.source.validation


def test_more_shots_than_rows_are_refused():
    with pytest.raises(UserError, match=r"Experiment.shots = 11: .*10"):
        labelled_splits(experiment(labels_from="target", shots=11), TASK)


@pytest.mark.parametrize(("settings", "field"), [({"shots": 2}, "labels_from"), ({"labels_from": "both"}, "shots")])
def test_shots_and_labels_from_must_fit_together(settings, field):
    with pytest.raises(UserError, match=field):
        experiment(**settings)


def test_the_config_has_optional_fields_only_where_they_are_set():
    assert not {"shots", "features"} & experiment().config().keys()
    labelled = experiment(labels_from="both", shots=2)
    assert labelled.config()["shots"] == 2
    assert from_config(labelled.config()).id == labelled.id


def test_a_run_learns_from_a_few_labels():
    training = da.Training(steps=60, evaluations=1, batch_size=6, learning_rate=0.1)
    few = experiment(labels_from="target", shots=2, training=training, model=tiny.MODEL)
    output = tiny.fitted(few, tiny.task(shift=3.0))
    accuracy = (output.logits["target_test"][-1].argmax(1) == TASK.target.test.labels).mean()
    assert accuracy > 0.9
