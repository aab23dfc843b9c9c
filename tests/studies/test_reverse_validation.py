"""Reverse validation: equal to a calculation by hand, free of target labels, and resumed after a kill."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import LinearSVC

import da_bench as da
from da_bench import training as train
from da_bench.classical import NearestNeighbour, Svm
from da_bench.core.config import UserError
from da_bench.core.types import Domain, Splits
from da_bench.data.lazy_arrays import Rows
from da_bench.methods import Dann, MeanTeacher, SourceOnly
from da_bench.studies import data as study_data
from da_bench.studies import reverse_validation
from da_bench.training import loop
from tests.helpers import tiny

RULE = "reverse_validation"
TRAINING = dataclasses.replace(tiny.TRAINING, evaluations=1)


@pytest.fixture
def tiny_data(monkeypatch):
    """Replace the data of every task with sixty rows."""
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none", reverse=True)


def experiment(method, training=TRAINING, **settings):
    return da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=training, **settings)


def pair():
    """Two runs of one program, with three evaluations each."""
    return da.over_seeds([experiment(Dann(widths=(4,)), tiny.TRAINING)], 2)


def classical():
    return da.Experiment(task="moons/35", method=Svm(scaling="none"))


def train_by_hand(method, data):
    """One uninterrupted run with seed 3."""
    in_memory = jax.tree.map(jnp.asarray, data._replace(inputs=data.inputs[:]))
    return train.train_run(jax.random.key(3), method, TRAINING, tiny.MODEL.clone(classes=3), in_memory)


def score(record):
    """The score of the only evaluation that has one."""
    (score,) = [value for value in record.curves["validators"][RULE] if value is not None]
    return score


def test_for_an_svm_the_score_equals_that_of_two_scikit_learn_svms(tiny_data, options):
    task = tiny.task()
    forward = LinearSVC(random_state=0).fit(*task.source.train)
    pseudo_labels = forward.predict(task.target.train.inputs)
    backward = LinearSVC(random_state=0).fit(task.target.train.inputs, pseudo_labels)
    expected = np.mean(backward.predict(task.source.validation.inputs) == task.source.validation.labels)
    (record,) = da.study([classical()], options).records
    assert score(record) == expected
    assert expected < 1
    assert record.result["rules"][RULE] == record.result["rules"]["last"]


@pytest.mark.parametrize("method", [Dann(widths=(4,)), pytest.param(MeanTeacher(), marks=pytest.mark.slow)])
def test_for_a_network_the_score_equals_that_of_two_runs_by_hand(method, tiny_data, options):
    """With one evaluation, reverse validation starts from the end of the first run."""
    task = tiny.task()
    target_inputs = [task.target.train.inputs, task.target.validation.inputs]
    first = train_by_hand(method, train.gather_data(task.source.train, target_inputs[0], target_inputs))
    pseudo_labels = np.asarray(first.logits[0]).argmax(axis=1)
    params, stats = method.inference_variables(first.state)
    pseudo_labelled = Domain(target_inputs[0], pseudo_labels[: len(target_inputs[0])].astype(np.int32))
    reverse_data = train.gather_data(pseudo_labelled, task.source.train.inputs, [task.source.validation.inputs])
    second = train_by_hand(method, reverse_data._replace(pretrained={"params": params, **stats}))
    is_correct = np.asarray(second.logits[0]).argmax(axis=1) == task.source.validation.labels
    (record,) = da.study([experiment(method, seed=3)], options).records
    assert score(record) == pytest.approx(np.mean(is_correct))
    without_reverse = dataclasses.replace(options, results=options.results / "quick", reverse=False)
    (quick,) = da.study([experiment(method, seed=3)], without_reverse).records
    assert (quick.id, quick.result["state"]) == (record.id, record.result["state"])
    assert RULE not in quick.result["rules"]


def test_only_the_checkpoint_that_source_validation_selects_has_a_score(tiny_data, options):
    for record in da.study(pair(), options).records:
        rules, scores = record.result["rules"], record.curves["validators"][RULE]
        assert rules[RULE] == rules["source_validation"]
        assert [i for i, score in enumerate(scores) if score is not None] == [rules[RULE]["evaluation"]]


def test_the_score_does_not_depend_on_target_labels(options, monkeypatch):
    """Permuted target labels change the accuracies of runs, but no score of reverse validation."""

    def permuted(name, root=None, view=None):
        task = tiny.task(name)
        domains = (domain._replace(labels=(domain.labels + 1) % 3) for domain in task.target)
        return dataclasses.replace(task, target=Splits(*domains))

    runs = [classical(), *pair()]
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    original = da.study(runs, options).records
    monkeypatch.setattr(study_data, "load", permuted)
    permuted_records = da.study(runs, dataclasses.replace(options, results=options.results / "permuted")).records
    for first, second in zip(original, permuted_records, strict=True):
        assert first.curves["validators"] == second.curves["validators"]
        assert first.curves["target_accuracy"] != second.curves["target_accuracy"]


def test_reverse_validation_gets_no_target_labels():
    task = tiny.task()
    target = reverse_validation.unlabelled(task.target)
    classes = reverse_validation.pseudo_labels(lambda inputs: np.eye(3)[np.full(len(inputs), 2)], target)
    source, reversed_target = reverse_validation.swap_domains(task.source, target, classes)
    assert not any(isinstance(inputs, Domain) for inputs in target)
    assert set(source.train.labels.tolist()) == set(source.validation.labels.tolist()) == {2}
    assert source.train.inputs is task.target.train.inputs
    assert reversed_target.train is task.source.train


def test_killed_in_the_reverse_run_a_study_resumes_there(tiny_data, options, monkeypatch, capsys):
    """It is killed at the second evaluation of the reverse runs, the fifth in total."""
    options, evaluations, evaluate = dataclasses.replace(options, checkpoint_seconds=0.0), [], loop._evaluate

    def killed(*arguments):
        evaluations.append(arguments)
        if len(evaluations) == 5:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    undisturbed = da.study(pair(), dataclasses.replace(options, results=options.results / "undisturbed")).records
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            da.study(pair(), options)
    resumed = da.study(pair(), options).records
    messages = capsys.readouterr().err
    assert "resuming from step 12" in messages
    assert "resuming from step 4" in messages
    assert [record.curves for record in resumed] == [record.curves for record in undisturbed]
    assert [record.result["state"] for record in resumed] == [record.result["state"] for record in undisturbed]
    assert not options.checkpoints.exists()


@pytest.mark.slow
def test_domain_specific_statistics_start_from_those_of_the_new_source(tiny_data, options):
    training = dataclasses.replace(TRAINING, batch_norm="domain_specific")
    run = dataclasses.replace(experiment(Dann(widths=(4,)), training), model=tiny.NORMED)
    assert 0 <= score(*da.study([run], options).records) <= 1
    stats = {"source": {"batch_stats": 1}, "target": {"batch_stats": 2}}
    assert reverse_validation.initial_variables("params", stats, "domain_specific") == {
        "params": "params",
        "batch_stats": 2,
    }


@pytest.mark.parametrize("isolate", [False, True])
def test_only_the_named_methods_have_reverse_validation(isolate, tiny_data, options):
    runs = [classical(), dataclasses.replace(classical(), method=NearestNeighbour())]
    options_for_svm = dataclasses.replace(options, reverse=("svm",), isolate=isolate)
    assert [RULE in record.result["rules"] for record in da.study(runs, options_for_svm).records] == [True, False]


def test_runs_with_target_labels_or_a_single_predicted_class_have_no_score(tiny_data, options, monkeypatch):
    (record,) = da.study([dataclasses.replace(classical(), labels_from="target")], options).records
    assert RULE not in record.result["rules"]
    monkeypatch.setattr(
        reverse_validation, "pseudo_labels", lambda _, target: target._replace(train=np.zeros(30), validation=None)
    )
    (record,) = da.study([classical()], options).records
    assert record.curves["validators"][RULE] == [None]


def test_predictions_that_are_not_finite_become_nan():
    logits = np.eye(2)[[0, 1, 1]]
    np.testing.assert_array_equal(reverse_validation.classes_at(logits, 1, 2), [[np.nan] * 3, [0, 1, 1]])
    logits[2] = np.nan
    assert np.isnan(reverse_validation.classes_at(logits, 1, 2)).all()


def test_streamed_data_are_refused_before_anything_is_written(monkeypatch, options):
    def load_lazily(name, root=None, view=None):
        task = tiny.task(name)
        domains = [Domain(Rows(domain.inputs, np.arange(len(domain.labels))), domain.labels) for domain in task.source]
        return dataclasses.replace(task, source=Splits(*domains))

    monkeypatch.setattr(study_data, "load", load_lazily)
    with pytest.raises(UserError, match=r"Options.reverse: .*Options.resident_gib = 0"):
        da.study([experiment(SourceOnly())], dataclasses.replace(options, resident_gib=0.0))
    assert not options.results.exists()
