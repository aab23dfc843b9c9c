"""Random search: every method has the same budget and learning rates and is one program."""

import dataclasses
import math

import jax
import pytest
from scipy import stats

import da_bench as da
from da_bench.classical import LogisticRegression
from da_bench.core.config import UserError
from da_bench.methods import METHODS, load_plugins
from da_bench.methods.search_space import LogUniform
from da_bench.studies.planner import group_by_program
from da_bench.studies.search import over_trials
from da_bench.studies.search.draws import search_space
from tests.helpers import tiny

load_plugins()


def experiment(method, **settings):
    return da.Experiment(task="moons/35", method=method, model=tiny.MODEL, training=tiny.TRAINING, **settings)


def trials(experiment, count, **settings):
    return over_trials([experiment], count, **settings)


def rates(experiments):
    return [experiment.training.learning_rate for experiment in experiments]


def test_the_first_trial_is_the_experiment_itself_and_the_others_lie_inside_the_space():
    own = experiment(da.methods.Mcc(weight=0.5), seed=3)
    drawn = trials(own, 20)
    assert len({trial.id for trial in drawn}) == 20
    assert drawn[0] == own
    spaces = search_space(own)
    assert set(spaces) == {"training.learning_rate", "method.weight", "method.temperature"}
    for trial in drawn:
        assert spaces["training.learning_rate"].contains(trial.training.learning_rate)
        assert spaces["method.weight"].contains(trial.method.weight)
        assert spaces["method.temperature"].contains(trial.method.temperature)
        assert trial.seed == 3


def test_all_methods_get_the_same_learning_rates_and_a_larger_budget_extends_a_smaller_one():
    methods = [METHODS[name]() for name in ("source_only", "dann", "vada", "ada_bn")]
    few, many = ([trials(experiment(method), count) for method in methods] for count in (5, 9))
    assert len({tuple(rates(drawn)) for drawn in many}) == 1
    assert all(larger[:5] == smaller for larger, smaller in zip(many, few, strict=True))
    assert rates(trials(experiment(methods[0]), 5, seed=1))[1:] != rates(few[0])[1:]


def test_learning_rates_are_log_uniform_and_independent_of_the_weights():
    drawn = trials(experiment(da.methods.Coral()), 401)[1:]
    logs = [math.log(rate) for rate in rates(drawn)]
    low, high = math.log(1e-5), math.log(0.1)
    assert stats.kstest(logs, stats.uniform(low, high - low).cdf).pvalue > 0.01
    weights = [math.log(trial.method.weight) for trial in drawn]
    assert abs(stats.spearmanr(logs, weights).statistic) < 0.15  # three standard errors


@pytest.mark.parametrize("name", ["dann", "mcc", "vada", "staged_fine_tuning"])
def test_trials_differ_only_in_float_fields_and_form_one_group_with_all_seeds(name):
    drawn = trials(experiment(METHODS[name]()), 4)
    assert len({jax.tree.structure((trial.method, trial.training)) for trial in drawn}) == 1
    (group,) = group_by_program(da.over_seeds(drawn, 2))
    assert len(group) == 8


def test_all_methods_have_the_same_budget():
    both = [experiment(method) for method in (da.methods.SourceOnly(), da.methods.Mmd())]
    drawn = over_trials(both, 6)
    assert [trial.method.name for trial in drawn] == ["source_only"] * 6 + ["mmd"] * 6
    assert rates(drawn[:6]) == rates(drawn[6:])


def test_the_user_can_give_another_space():
    training = dataclasses.replace(tiny.TRAINING, learning_rate=0.5)
    start = dataclasses.replace(experiment(da.methods.SourceOnly()), training=training)
    drawn = trials(start, 5, learning_rate=LogUniform(0.1, 1.0))
    assert all(0.1 <= rate <= 1 for rate in rates(drawn))


@pytest.mark.parametrize(
    ("method", "count", "message"),
    [
        (da.methods.Dann(), 0, "trials = 0"),
        (LogisticRegression(), 3, "'logistic_regression'"),
        (
            da.methods.Dann(weight=20.0),
            3,
            r"method.weight = 20.0 of 'dann' is outside the space that is searched, LogUniform\(low=0.001, "
            r"high=10.0\): start inside it, or give one that contains it in @register\(search=...\) of Dann",
        ),
    ],
)
def test_an_experiment_that_cannot_be_searched_is_refused(method, count, message):
    training = {} if isinstance(method, LogisticRegression) else {"training": tiny.TRAINING}
    with pytest.raises(UserError, match=message):
        trials(da.Experiment(task="moons/35", method=method, **training), count)


def test_a_learning_rate_outside_its_space_is_refused():
    fast = dataclasses.replace(tiny.TRAINING, learning_rate=0.3)
    start = dataclasses.replace(experiment(da.methods.SourceOnly()), training=fast)
    with pytest.raises(
        UserError, match=r"training.learning_rate = 0.3 of 'source_only' is outside.*as `learning_rate`"
    ):
        trials(start, 3)
