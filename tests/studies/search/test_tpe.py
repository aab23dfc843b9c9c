"""Adaptive search: batches from Optuna, scores without target labels, and a file from which it goes on."""

import json
import math
import sys

import numpy as np
import pytest

import da_bench as da
from da_bench.core.config import UserError
from da_bench.studies import data as study_data
from da_bench.studies.results import Results
from da_bench.studies.score import rule_score
from da_bench.studies.search import Budget, adaptive, tpe
from tests.helpers import fake, tiny

SOURCE_ONLY = da.Experiment(
    task="moons/35", method=da.methods.SourceOnly(), model=tiny.MODEL, training=da.Training(steps=10, evaluations=2)
)


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna")


@pytest.fixture
def asked(monkeypatch):
    """Studies that were asked for, answered at once: the score is best at a learning rate of 0.001."""
    batches = []

    def study(experiments, options):
        batches.append(experiments)
        return Results([answer(one) for one in experiments], options.results)

    monkeypatch.setattr(tpe, "study", study)
    return batches


def answer(experiment):
    score = -abs(math.log10(experiment.training.learning_rate) + 3) + 0.01 * experiment.seed
    record = fake.record("moons/35", "source_only", experiment.seed)
    record.curves["validators"] = {"im": [score - 1, score, None]}
    return type(record)(experiment.id, experiment.config(), record.result, record.curves, {})


def budget(tmp_path, **given):
    return Budget(**{"storage": tmp_path / "search.log", "trials": 6, "batch": 3, "seeds": 2, **given})


def settings(batch):
    return list(dict.fromkeys(one.training.learning_rate for one in batch))


def test_batches_of_one_size_the_first_with_the_experiments_own_setting(optuna, asked, tmp_path):
    found = adaptive(SOURCE_ONLY, budget(tmp_path))
    *batches, every = asked
    assert [len(batch) for batch in batches] == [6, 6]
    assert settings(batches[0])[0] == SOURCE_ONLY.training.learning_rate
    assert [one.seed for one in batches[0][:2]] == [0, 1]
    assert settings(every) == settings(batches[0]) + settings(batches[1])
    assert len(set(settings(every))) == 6
    assert len(found.records) == 12


def test_what_is_told_is_the_mean_over_seeds_of_the_best_score(optuna, asked, tmp_path):
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=3))
    lines = [json.loads(line) for line in (tmp_path / "search.log").read_text().splitlines()]
    told = [line["values"][0] for line in lines if line.get("values")]
    means = [np.mean([rule_score(answer(one), "im") for one in asked[0][i : i + 2]]) for i in (0, 2, 4)]
    assert told == pytest.approx(means)


def test_it_goes_on_from_its_file(optuna, asked, tmp_path, monkeypatch):
    study = tpe.study

    def killed(experiments, options):
        study(experiments, options)
        raise KeyboardInterrupt

    monkeypatch.setattr(tpe, "study", killed)
    with pytest.raises(KeyboardInterrupt):
        adaptive(SOURCE_ONLY, budget(tmp_path))
    monkeypatch.setattr(tpe, "study", study)
    adaptive(SOURCE_ONLY, budget(tmp_path))
    first, again, _, every = asked
    assert settings(again) == settings(first)  # which are on record by now, or are made
    assert len(set(settings(every))) == 6
    asked.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path))
    assert [settings(batch) for batch in asked] == [settings(every)]
    asked.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=9))
    more, _ = asked
    assert set(settings(more)).isdisjoint(settings(every))


def test_another_rule_is_another_search_in_the_same_file(optuna, asked, tmp_path):
    adaptive(SOURCE_ONLY, budget(tmp_path))
    asked.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path, rule="source_validation"))
    assert len(asked) == 3  # none of whose settings has a score: they fail, and it goes on


def test_it_looks_where_scores_are_good(optuna, asked, tmp_path):
    """Of the second half of 40 settings more than twice as many are within a decade of the best than by chance."""
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=40, batch=5, seeds=1))
    late = settings(asked[-1])[20:]
    chance = 2 / 4  # two of the space's four decades
    assert np.mean([1e-4 < rate < 1e-2 for rate in late]) > 1.5 * chance


@pytest.mark.slow
def test_a_run_that_is_real(optuna, tmp_path, monkeypatch):
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    one = da.Experiment(task="moons/35", method=da.methods.SourceOnly(), model=tiny.MODEL, training=tiny.TRAINING)
    found = adaptive(one, budget(tmp_path, trials=4, batch=2), da.Options(results=tmp_path, progress="none"))
    assert len({record.id for record in found.records}) == 8
    assert len(list((tmp_path / "runs").iterdir())) == 8


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rule": "oracle"}, "the oracle, which is the target"),
        ({"rule": "last"}, "the rule 'last' chooses a step and scores no setting"),
        ({"rule": "imm"}, "unknown validator 'imm'; did you mean 'im'?"),
        ({"trials": 20, "batch": 8}, "trials = 20 is no multiple of batch = 8.*give 24 trials"),
        ({"trials": 0}, "Budget.trials = 0"),
    ],
)
def test_a_budget_that_cannot_be(given, says, tmp_path):
    with pytest.raises(UserError, match=says):
        budget(tmp_path, **given)


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        ({"rule": "dev"}, {}, "the rule 'dev' compares features: give --validators all"),
        ({}, {"shard": (1, 2)}, "cannot be shared out"),
    ],
)
def test_options_that_do_not_go_with_it(given, options, says, tmp_path):
    with pytest.raises(UserError, match=says):
        adaptive(SOURCE_ONLY, budget(tmp_path, **given), da.Options(**options))


def test_without_optuna_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[opt\]"'):
        adaptive(SOURCE_ONLY, budget(tmp_path))
    assert not list(tmp_path.iterdir())


def test_another_file_is_not_taken_for_a_search(optuna, tmp_path):
    (tmp_path / "search.log").write_text("a diary\n")
    with pytest.raises(UserError, match="is not the storage of a search"):
        adaptive(SOURCE_ONLY, budget(tmp_path))
