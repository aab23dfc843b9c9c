"""Adaptive search: batches from Optuna, scores without target labels, and a file to resume from."""

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
def batches(monkeypatch):
    """Batches of requested experiments, with synthetic records: the score is best at a learning rate of 0.001."""
    requested = []

    def study(experiments, options):
        requested.append(experiments)
        return Results([synthetic_record(experiment) for experiment in experiments], options.results)

    monkeypatch.setattr(tpe, "study", study)
    return requested


def synthetic_record(experiment):
    score = -abs(math.log10(experiment.training.learning_rate) + 3) + 0.01 * experiment.seed
    record = fake.record("moons/35", "source_only", experiment.seed)
    record.curves["validators"] = {"im": [score - 1, score, None]}
    return type(record)(experiment.id, experiment.config(), record.result, record.curves, {})


def budget(tmp_path, **fields):
    return Budget(**{"storage": tmp_path / "search.log", "trials": 6, "batch": 3, "seeds": 2, **fields})


def settings(batch):
    return list(dict.fromkeys(experiment.training.learning_rate for experiment in batch))


def test_all_batches_have_the_same_size_and_the_first_starts_with_the_default_setting(optuna, batches, tmp_path):
    results = adaptive(SOURCE_ONLY, budget(tmp_path))
    *searched, final = batches
    assert [len(batch) for batch in searched] == [6, 6]
    assert settings(searched[0])[0] == SOURCE_ONLY.training.learning_rate
    assert [experiment.seed for experiment in searched[0][:2]] == [0, 1]
    assert settings(final) == settings(searched[0]) + settings(searched[1])
    assert len(set(settings(final))) == 6
    assert len(results.records) == 12


def test_optuna_is_told_the_mean_over_seeds_of_the_best_score(optuna, batches, tmp_path):
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=3))
    lines = [json.loads(line) for line in (tmp_path / "search.log").read_text().splitlines()]
    values = [line["values"][0] for line in lines if line.get("values")]
    means = [
        np.mean([rule_score(synthetic_record(experiment), "im") for experiment in batches[0][i : i + 2]])
        for i in (0, 2, 4)
    ]
    assert values == pytest.approx(means)


def test_a_search_resumes_from_its_file(optuna, batches, tmp_path, monkeypatch):
    study = tpe.study

    def killed(experiments, options):
        study(experiments, options)
        raise KeyboardInterrupt

    monkeypatch.setattr(tpe, "study", killed)
    with pytest.raises(KeyboardInterrupt):
        adaptive(SOURCE_ONLY, budget(tmp_path))
    monkeypatch.setattr(tpe, "study", study)
    adaptive(SOURCE_ONLY, budget(tmp_path))
    first, resumed, _, final = batches
    assert settings(resumed) == settings(first)  # which are on record by now, or are computed
    assert len(set(settings(final))) == 6
    batches.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path))
    assert [settings(batch) for batch in batches] == [settings(final)]
    batches.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=9))
    more, _ = batches
    assert set(settings(more)).isdisjoint(settings(final))


def test_another_rule_is_another_search_in_the_same_file(optuna, batches, tmp_path):
    adaptive(SOURCE_ONLY, budget(tmp_path))
    batches.clear()
    adaptive(SOURCE_ONLY, budget(tmp_path, rule="source_validation"))
    assert len(batches) == 3  # no setting has a score by this rule: trials fail, and the search goes on


def test_later_trials_concentrate_where_scores_are_good(optuna, batches, tmp_path):
    """In the second half of 40 settings, more than 1.5 times as many as by chance lie within a decade of the best."""
    adaptive(SOURCE_ONLY, budget(tmp_path, trials=40, batch=5, seeds=1))
    late = settings(batches[-1])[20:]
    chance = 2 / 4  # two of the space's four decades
    assert np.mean([1e-4 < rate < 1e-2 for rate in late]) > 1.5 * chance


@pytest.mark.slow
def test_a_search_with_real_runs(optuna, tmp_path, monkeypatch):
    monkeypatch.setattr(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    experiment = da.Experiment(
        task="moons/35", method=da.methods.SourceOnly(), model=tiny.MODEL, training=tiny.TRAINING
    )
    results = adaptive(experiment, budget(tmp_path, trials=4, batch=2), da.Options(results=tmp_path, progress="none"))
    assert len({record.id for record in results.records}) == 8
    assert len(list((tmp_path / "runs").iterdir())) == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "oracle"}, "oracle"),
        ({"rule": "last"}, "'last'"),
        ({"rule": "imm"}, "unknown validator 'imm'; did you mean 'im'?"),
        ({"trials": 20, "batch": 8}, "trials = 20 is not a multiple of batch = 8.*give 24 trials"),
        ({"trials": 0}, "Budget.trials = 0"),
    ],
)
def test_an_invalid_budget_is_refused(fields, message, tmp_path):
    with pytest.raises(UserError, match=message):
        budget(tmp_path, **fields)


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"rule": "dev"}, {}, "'dev'.*--validators all"),
        ({}, {"shard": (1, 2)}, "shard"),
    ],
)
def test_options_that_exclude_an_adaptive_search_are_refused(fields, options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        adaptive(SOURCE_ONLY, budget(tmp_path, **fields), da.Options(**options))


def test_without_optuna_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[opt\]"'):
        adaptive(SOURCE_ONLY, budget(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_a_search_is_refused(optuna, tmp_path):
    (tmp_path / "search.log").write_text("a diary\n")
    with pytest.raises(UserError, match=r"search\.log"):
        adaptive(SOURCE_ONLY, budget(tmp_path))
