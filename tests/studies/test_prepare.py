"""Preparing a group: everything that its runs share, from their experiments and one task."""

import numpy as np
import pytest

import da_bench as da
from da_bench.classical import Svm
from da_bench.methods import SourceOnly
from da_bench.studies.planner import plan_study
from da_bench.studies.preflight import prepare_study
from da_bench.studies.prepare import prepare
from da_bench.studies.records import Records
from tests.helpers import tiny

TASK = tiny.task()


def experiment(method=SourceOnly(), **settings):  # noqa: B008 - a frozen value
    return da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=tiny.TRAINING, **settings)


def test_a_group_holds_everything_that_its_runs_share():
    runs = da.over_seeds([experiment()], 3)
    group = prepare(runs, TASK, da.Options())
    assert group.ids == [run.id for run in runs]
    assert group.model.classes == len(TASK.classes)
    assert group.labelled is TASK.source
    assert group.evaluation_steps == [4, 8, 12]
    assert len(group.data.probes) == sum(len(probe.inputs) for probe in group.probes.values())
    assert (group.streamed, group.reverse, group.skip_reason, group.kept_features.size) == (False, False, None, 0)
    assert group.select(runs[:1]).ids == [runs[0].id]


def test_a_classical_method_has_no_training_data():
    assert prepare([experiment(Svm(scaling="none"))], TASK, da.Options()).data is None


@pytest.mark.parametrize("reverse", [True, ("source_only",)])
def test_runs_with_target_labels_have_no_reverse_validation(reverse):
    options = da.Options(reverse=reverse)
    assert prepare([experiment()], TASK, options).reverse
    assert not prepare([experiment(labels_from="target")], TASK, options).reverse


def test_features_are_kept_for_all_validators():
    group = prepare([experiment()], TASK, da.Options(validators="all"))
    rows = np.concatenate([np.asarray(probe.inputs) for probe in group.probes.values()])
    expected = np.concatenate([TASK.source.train.inputs, TASK.source.validation.inputs, TASK.target.validation.inputs])
    np.testing.assert_array_equal(rows[group.kept_features], expected)


def test_on_task_replaces_only_the_data():
    group, other = prepare([experiment()], TASK, da.Options()), tiny.task(shift=3.0)
    moved = group.on_task(other)
    assert moved.task is other
    assert moved.labelled is other.source
    assert (moved.experiments, moved.model) == (group.experiments, group.model)


def test_a_study_prepares_only_its_missing_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("da_bench.studies.data.load", lambda name, root=None, view=None: tiny.task(name))
    options = da.Options(results=tmp_path, progress="none")
    da.study([experiment()], options)
    records = Records(tmp_path)
    plan = plan_study([experiment(), experiment(seed=1), experiment(da.methods.Coral())], records, options)
    groups = prepare_study(plan.groups, records, options)
    assert [[run.seed for run in group.experiments] for group in groups] == [[1], [0]]
    assert groups[0].task is groups[1].task
