"""The upper bound of training on target labels."""

from da_bench.baselines import held_out_target_only, target_only

import da_bench as da

EXPERIMENT = da.Experiment(
    task="moons/35@transductive", method=da.methods.Dann(), training=da.Training(steps=7, evaluations=1), seed=3
)


def test_target_only_changes_the_method_and_the_labels():
    bound = target_only(EXPERIMENT)
    assert (bound.method, bound.labels_from) == (da.methods.SourceOnly(), "target")
    assert (bound.task, bound.training, bound.seed) == (EXPERIMENT.task, EXPERIMENT.training, EXPERIMENT.seed)


def test_held_out_target_only_uses_the_inductive_task():
    assert held_out_target_only(EXPERIMENT).task == "moons/35"
    inductive = held_out_target_only(EXPERIMENT)
    assert held_out_target_only(inductive).task == inductive.task
