"""Reverse validation by training anew: what it is by hand, that no target label is in it, that it survives a kill."""

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
from da_bench.studies import reverse_validation as reverse
from da_bench.training import loop as engine
from tests.helpers import tiny

RULE = "reverse_validation"
TRAINING = dataclasses.replace(tiny.TRAINING, evaluations=1)


@pytest.fixture
def tiny_data(monkeypatch):
    """The registered task's name, with data of sixty rows."""
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))


@pytest.fixture
def options(tmp_path):
    return da.Options(results=tmp_path / "results", progress="none", reverse=True)


def experiment(method, training=TRAINING, **settings):
    return da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=training, **settings)


def pair():
    """Two runs that are one program, with three evaluations each."""
    return da.over_seeds([experiment(Dann(widths=(4,)), tiny.TRAINING)], 2)


def shallow():
    return da.Experiment(task="moons/35", method=Svm(scaling="none"))


def by_hand(method, data):
    """One run in one piece, of seed 3."""
    held = jax.tree.map(jnp.asarray, data._replace(inputs=data.inputs[:]))
    return train.train_run(jax.random.key(3), method, TRAINING, tiny.MODEL.clone(classes=3), held)


def score(record):
    """Of the one checkpoint that has one."""
    (found,) = [one for one in record.curves["validators"][RULE] if one is not None]
    return found


def test_of_a_machine_it_is_that_of_two_machines_of_another_library(tiny_data, options):
    task = tiny.task()
    forward = LinearSVC(random_state=0).fit(*task.source.train)
    guessed = forward.predict(task.target.train.inputs)
    backward = LinearSVC(random_state=0).fit(task.target.train.inputs, guessed)
    expected = np.mean(backward.predict(task.source.validation.inputs) == task.source.validation.labels)
    (record,) = da.study([shallow()], options).records
    assert score(record) == expected
    assert expected < 1
    assert record.result["rules"][RULE] == record.result["rules"]["last"]


@pytest.mark.parametrize("method", [Dann(widths=(4,)), pytest.param(MeanTeacher(), marks=pytest.mark.slow)])
def test_of_a_network_it_is_that_of_two_runs_put_together_by_hand(method, tiny_data, options):
    """One evaluation, so that the first run stops at its end."""
    task = tiny.task()
    of_target = [task.target.train.inputs, task.target.validation.inputs]
    first = by_hand(method, train.gather_data(task.source.train, of_target[0], of_target))
    guessed = np.asarray(first.logits[0]).argmax(axis=1)
    params, stats = method.inference_variables(first.state)
    taught = Domain(of_target[0], guessed[: len(of_target[0])].astype(np.int32))
    back = train.gather_data(taught, task.source.train.inputs, [task.source.validation.inputs])
    second = by_hand(method, back._replace(pretrained={"params": params, **stats}))
    right = np.asarray(second.logits[0]).argmax(axis=1) == task.source.validation.labels
    (record,) = da.study([experiment(method, seed=3)], options).records
    assert score(record) == pytest.approx(np.mean(right))
    unmoved = dataclasses.replace(options, results=options.results / "quick", reverse=False)
    (quick,) = da.study([experiment(method, seed=3)], unmoved).records
    assert (quick.id, quick.result["state"]) == (record.id, record.result["state"])
    assert RULE not in quick.result["rules"]


def test_it_stands_at_the_checkpoint_that_source_validation_chooses(tiny_data, options):
    for record in da.study(pair(), options).records:
        rules, scores = record.result["rules"], record.curves["validators"][RULE]
        assert rules[RULE] == rules["source_validation"]
        assert [i for i, one in enumerate(scores) if one is not None] == [rules[RULE]["evaluation"]]


def test_target_labels_do_not_reach_it(options, monkeypatch):
    """Permuted labels change the scores of runs, and nothing that reverse validation says."""

    def permuted(name, root=None, view=None):
        task = tiny.task(name)
        moved = (domain._replace(labels=(domain.labels + 1) % 3) for domain in task.target)
        return dataclasses.replace(task, target=Splits(*moved))

    runs = [shallow(), *pair()]
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    honest = da.study(runs, options).records
    monkeypatch.setattr(study_data, "load", permuted)
    blind = da.study(runs, dataclasses.replace(options, results=options.results / "blind")).records
    for one, other in zip(honest, blind, strict=True):
        assert one.curves["validators"] == other.curves["validators"]
        assert one.curves["target_accuracy"] != other.curves["target_accuracy"]


def test_what_it_is_given_of_the_target_are_inputs():
    task = tiny.task()
    target = reverse.unlabelled(task.target)
    classes = reverse.pseudo_labels(lambda inputs: np.eye(3)[np.full(len(inputs), 2)], target)
    source, back = reverse.swap_domains(task.source, target, classes)
    assert not any(isinstance(one, Domain) for one in target)
    assert set(source.train.labels.tolist()) == set(source.validation.labels.tolist()) == {2}
    assert source.train.inputs is task.target.train.inputs
    assert back.train is task.source.train


def test_killed_on_the_way_back_it_goes_on_there(tiny_data, options, monkeypatch, capsys):
    """At the second evaluation of the reverse learners, the fifth of all."""
    options, looks, look = dataclasses.replace(options, checkpoint_seconds=0.0), [], engine._evaluate

    def killed(*given):
        looks.append(given)
        if len(looks) == 5:
            raise KeyboardInterrupt
        return look(*given)

    whole = da.study(pair(), dataclasses.replace(options, results=options.results / "whole")).records
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_evaluate", killed)
        with pytest.raises(KeyboardInterrupt):
            da.study(pair(), options)
    again = da.study(pair(), options).records
    said = capsys.readouterr().err
    assert "resuming from step 12" in said
    assert "resuming from step 4" in said
    assert [one.curves for one in again] == [one.curves for one in whole]
    assert [one.result["state"] for one in again] == [one.result["state"] for one in whole]
    assert not options.checkpoints.exists()


@pytest.mark.slow
def test_statistics_of_a_domain_each_start_from_those_of_the_new_source(tiny_data, options):
    training = dataclasses.replace(TRAINING, batch_norm="domain_specific")
    one = dataclasses.replace(experiment(Dann(widths=(4,)), training), model=tiny.NORMED)
    assert 0 <= score(*da.study([one], options).records) <= 1
    stats = {"source": {"batch_stats": 1}, "target": {"batch_stats": 2}}
    assert reverse.initial_variables("params", stats, "domain_specific") == {"params": "params", "batch_stats": 2}


@pytest.mark.parametrize("isolate", [False, True])
def test_only_methods_that_are_named_go_back(isolate, tiny_data, options):
    others = [shallow(), dataclasses.replace(shallow(), method=NearestNeighbour())]
    asked = dataclasses.replace(options, reverse=("svm",), isolate=isolate)
    assert [RULE in one.result["rules"] for one in da.study(others, asked).records] == [True, False]


def test_a_run_that_knows_target_labels_and_one_that_guesses_one_class_have_none(tiny_data, options, monkeypatch):
    (record,) = da.study([dataclasses.replace(shallow(), labels_from="target")], options).records
    assert RULE not in record.result["rules"]
    monkeypatch.setattr(
        reverse, "pseudo_labels", lambda _, target: target._replace(train=np.zeros(30), validation=None)
    )
    (record,) = da.study([shallow()], options).records
    assert record.curves["validators"][RULE] == [None]


def test_an_answer_that_is_not_finite_is_none():
    logits = np.eye(2)[[0, 1, 1]]
    np.testing.assert_array_equal(reverse.classes_at(logits, 1, 2), [[np.nan] * 3, [0, 1, 1]])
    logits[2] = np.nan
    assert np.isnan(reverse.classes_at(logits, 1, 2)).all()


def test_streamed_data_are_refused_before_anything_is_made(monkeypatch, options):
    def on_disk(name, root=None, view=None):
        task = tiny.task(name)
        lazily = [Domain(Rows(one.inputs, np.arange(len(one.labels))), one.labels) for one in task.source]
        return dataclasses.replace(task, source=Splits(*lazily))

    monkeypatch.setattr(study_data, "load", on_disk)
    with pytest.raises(UserError, match=r"Options.reverse: .* larger than Options.resident_gib = 0: raise it"):
        da.study([experiment(SourceOnly())], dataclasses.replace(options, resident_gib=0.0))
    assert not options.results.exists()
