"""Properties of every method that need a whole study; tests/testing has the conformance checks."""

import dataclasses

import numpy as np
import pytest

from da_bench.core.config import NonNegative, UserError, float_fields
from da_bench.methods import METHODS, ClassicalMethod, Method, load_plugins, register
from da_bench.methods.base import MAX_SEARCHED
from da_bench.methods.search_space import Uniform
from da_bench.studies.experiment import Experiment
from da_bench.studies.fit import fit_classical
from da_bench.testing.problem import ToyNet
from tests.helpers import tiny

load_plugins()


def permuted_target(task):
    """The task with every target label wrong, in every split."""

    def shuffled(domain):
        return domain._replace(labels=(domain.labels + 1) % len(task.classes))

    return dataclasses.replace(task, target=type(task.target)(*map(shuffled, task.target)))


def predictions(method, task, **bound):
    experiment = Experiment(task=task.name, method=method, model=ToyNet(), training=tiny.TRAINING, **bound)
    if isinstance(method, ClassicalMethod):
        (finished,) = fit_classical(tiny.prepared(experiment, task))
        return finished.output
    return tiny.fitted(experiment, task)


@pytest.mark.parametrize("name", tiny.one_of_each_kind(METHODS))
def test_predictions_do_not_depend_on_target_labels(name):
    task = tiny.task()
    predicted, blind = predictions(METHODS[name](), task), predictions(METHODS[name](), permuted_target(task))
    assert predicted.logits.keys() == blind.logits.keys()
    for probe in predicted.logits:
        np.testing.assert_array_equal(predicted.logits[probe], blind.logits[probe])


def test_the_leak_test_can_fail():
    """Predictions of a run trained on target labels, the upper bound, do change with the labels."""
    task = tiny.task()
    predicted, predicted_permuted = (
        predictions(METHODS["source_only"](), each, labels_from="target") for each in (task, permuted_target(task))
    )
    assert not np.array_equal(predicted.logits["target_test"], predicted_permuted.logits["target_test"])


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, cls in METHODS.items() for field in float_fields(cls)]
)
def test_negative_hyper_parameters_are_refused(name, field):
    with pytest.raises(UserError, match=rf"{METHODS[name].__name__}\.{field}"):
        METHODS[name](**{field: -1.0})


@pytest.mark.parametrize("name", [name for name, cls in METHODS.items() if issubclass(cls, Method)])
def test_the_search_space_holds_the_default_and_only_valid_values(name):
    cls = METHODS[name]
    search = cls.metadata.search
    assert bool(search) == any("weight" in field for field in float_fields(cls))
    assert len(search) <= MAX_SEARCHED
    for field, space in search.items():
        assert field in float_fields(cls)
        assert space.contains(getattr(cls(), field))
        for share in (0.0, 0.5, 1.0):
            assert getattr(cls(**{field: space.quantile(share)}), field) == space.quantile(share)


def with_weight(default=1.0):
    """A class with a weight that is not registered."""

    class Declares(Method):
        weight: NonNegative = default

        def step(self, trainer, state, batch):
            return state, {}

    return Declares


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({"wieght": Uniform(0.0, 1.0)}, "Declares.*'wieght'.*did you mean 'weight'?"),
        ({"weight": Uniform(2.0, 3.0)}, r"Declares.*'weight', Uniform\(low=2.0, high=3.0\).*default 1.0"),
        ({"weight": Uniform(-1.0, 3.0)}, "Declares.weight = -1.0"),
        (dict.fromkeys("abcde", Uniform(0.0, 1.0)), "Declares.* 5 fields.* 4"),
    ],
)
def test_an_invalid_search_space_is_refused_at_registration(spaces, message):
    with pytest.raises(UserError, match=message):
        register(search=spaces)(with_weight())
    assert "declares" not in METHODS


def test_a_weight_is_searched_by_default(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    assert register(with_weight(default=4.0)).metadata.search == {"weight": Uniform(0.0, 4.0)}
    assert METHODS["source_only"].metadata.search == {}
