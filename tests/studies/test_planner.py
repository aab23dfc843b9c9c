"""The plan of a study: the missing runs, grouped by compiled program."""

import dataclasses

import pytest

import da_bench as da
from da_bench.classical import Svm
from da_bench.core.config import UserError
from da_bench.core.locks import LockedError
from da_bench.methods import Coral, Dann, SourceOnly
from da_bench.studies.planner import group_by_program, plan_study, select_shard
from da_bench.studies.records import Records
from tests.helpers import fake, tiny


def experiments(method, seeds=2, **settings):
    experiment = da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=tiny.TRAINING, **settings)
    return da.over_seeds([experiment], seeds)


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path)


def publish(records, experiment, status="ok"):
    record = dataclasses.replace(fake.record(), id=experiment.id, config=experiment.config())
    records.publish(dataclasses.replace(record, result={**record.result, "status": status}), {})


def seeds_of(group):
    return [experiment.seed for experiment in group]


def test_seeds_and_float_hyper_parameters_share_a_program():
    weights = [experiment for weight in (0.1, 1.0) for experiment in experiments(Dann(weight=weight, widths=(4,)))]
    other = experiments(Dann(widths=(5,)))
    bound = experiments(Dann(widths=(4,)), labels_from="target")
    assert [len(group) for group in group_by_program([*weights, *other, *bound])] == [4, 2, 2]


def test_a_classical_run_is_a_group_of_its_own():
    assert [len(group) for group in group_by_program(experiments(Svm(scaling="none")))] == [1, 1]


def test_runs_on_record_are_not_planned_again(records):
    runs = experiments(SourceOnly(), 3)
    publish(records, runs[1])
    plan = plan_study(runs, records, da.Options())
    (group,) = plan.groups
    assert seeds_of(group.missing) == [0, 2]
    assert [record.id for record in group.existing] == [runs[1].id]
    assert list(plan.completed) == [runs[1].id]
    assert [record.id for record in plan.collect(records)] == [runs[1].id]


@pytest.mark.parametrize(("retry", "missing"), [(False, [1]), (True, [0, 1])])
def test_failed_runs_are_planned_again_with_retry(retry, missing, records):
    runs = experiments(SourceOnly())
    publish(records, runs[0], "failed")
    (group,) = plan_study(runs, records, da.Options(retry=retry)).groups
    assert seeds_of(group.missing) == missing
    assert len(group.existing) == 1  # its data are checked in both cases


def test_equal_experiments_are_computed_once(records):
    runs = experiments(SourceOnly(), 1)
    (group,) = plan_study([*runs, *runs], records, da.Options()).groups
    assert len(group.missing) == 1


def test_an_empty_study_is_refused(records):
    with pytest.raises(UserError, match="no experiments"):
        plan_study([], records, da.Options())


def test_collecting_without_any_record_says_that_another_process_computes(records):
    with pytest.raises(LockedError, match="another process"):
        plan_study(experiments(SourceOnly()), records, da.Options()).collect(records)


def test_shards_are_equal_disjoint_and_keep_programs_together():
    mixed = [run for pair in zip(experiments(SourceOnly(), 4), experiments(Coral(), 4), strict=True) for run in pair]
    shards = [select_shard(mixed, i, 2) for i in (1, 2)]
    assert [{run.method.name for run in shard} for shard in shards] == [{"source_only"}, {"coral"}]
    thirds = [select_shard(mixed, i, 3) for i in (1, 2, 3)]
    assert sorted(len(shard) for shard in thirds) == [2, 3, 3]
    assert {run.id for shard in thirds for run in shard} == {run.id for run in mixed}
