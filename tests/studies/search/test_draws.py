"""Random search: the same budget and the same learning rates for all, and one program a method."""

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


def trials(one, count, **how):
    return over_trials([one], count, **how)


def rates(found):
    return [one.training.learning_rate for one in found]


def test_the_first_is_the_experiments_own_and_the_others_are_inside_the_space():
    own = experiment(da.methods.Mcc(weight=0.5), seed=3)
    found = trials(own, 20)
    assert len({one.id for one in found}) == 20
    assert found[0] == own
    spaces = search_space(own)
    assert set(spaces) == {"training.learning_rate", "method.weight", "method.temperature"}
    for one in found:
        assert spaces["training.learning_rate"].contains(one.training.learning_rate)
        assert spaces["method.weight"].contains(one.method.weight)
        assert spaces["method.temperature"].contains(one.method.temperature)
        assert one.seed == 3


def test_every_method_is_tried_at_the_same_learning_rates_and_more_trials_are_these_and_others():
    methods = [METHODS[name]() for name in ("source_only", "dann", "vada", "ada_bn")]
    few, many = ([trials(experiment(method), count) for method in methods] for count in (5, 9))
    assert len({tuple(rates(found)) for found in many}) == 1
    assert all(long[:5] == short for long, short in zip(many, few, strict=True))
    assert rates(trials(experiment(methods[0]), 5, seed=1))[1:] != rates(few[0])[1:]


def test_learning_rates_are_even_in_their_logarithm_and_independent_of_the_weights():
    found = trials(experiment(da.methods.Coral()), 401)[1:]
    logs = [math.log(rate) for rate in rates(found)]
    low, high = math.log(1e-5), math.log(0.1)
    assert stats.kstest(logs, stats.uniform(low, high - low).cdf).pvalue > 0.01
    weights = [math.log(one.method.weight) for one in found]
    assert abs(stats.spearmanr(logs, weights).statistic) < 0.15  # three standard errors


@pytest.mark.parametrize("name", ["dann", "mcc", "vada", "staged_fine_tuning"])
def test_trials_differ_in_float_fields_alone_and_are_one_group_for_all_seeds(name):
    found = trials(experiment(METHODS[name]()), 4)
    assert len({jax.tree.structure((one.method, one.training)) for one in found}) == 1
    (group,) = group_by_program(da.over_seeds(found, 2))  # of which test_cli counts the programs
    assert len(group) == 8


def test_a_budget_is_the_same_for_all():
    both = [experiment(method) for method in (da.methods.SourceOnly(), da.methods.Mmd())]
    found = over_trials(both, 6)
    assert [one.method.name for one in found] == ["source_only"] * 6 + ["mmd"] * 6
    assert rates(found[:6]) == rates(found[6:])


def test_a_space_of_ones_own():
    own = dataclasses.replace(tiny.TRAINING, learning_rate=0.5)
    one = dataclasses.replace(experiment(da.methods.SourceOnly()), training=own)
    found = trials(one, 5, learning_rate=LogUniform(0.1, 1.0))
    assert all(0.1 <= rate <= 1 for rate in rates(found))


@pytest.mark.parametrize(
    ("method", "count", "says"),
    [
        (da.methods.Dann(), 0, "trials = 0: at least 1 is needed"),
        (LogisticRegression(), 3, "'logistic_regression' is a classical method, which has no learning rate"),
        (
            da.methods.Dann(weight=20.0),
            3,
            r"method.weight = 20.0 of 'dann' is outside the space that is searched, LogUniform\(low=0.001, "
            r"high=10.0\): start inside it, or give one that contains it in @register\(search=...\) of Dann",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(method, count, says):
    training = {} if isinstance(method, LogisticRegression) else {"training": tiny.TRAINING}
    with pytest.raises(UserError, match=says):
        trials(da.Experiment(task="moons/35", method=method, **training), count)


def test_a_learning_rate_outside_of_its_space_is_refused():
    fast = dataclasses.replace(tiny.TRAINING, learning_rate=0.3)
    one = dataclasses.replace(experiment(da.methods.SourceOnly()), training=fast)
    with pytest.raises(
        UserError, match=r"training.learning_rate = 0.3 of 'source_only' is outside.*as `learning_rate`"
    ):
        trials(one, 3)
