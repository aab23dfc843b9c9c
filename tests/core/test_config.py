"""Config dataclasses: checked fields, leaves and structure, and the JSON that makes ids."""

import jax
import jax.numpy as jnp
import pytest

from da_bench.core.config import (
    NonNegative,
    Registry,
    UserError,
    as_dict,
    config_dataclass,
    did_you_mean,
    field,
    float_fields,
    since_marks,
    snake_case,
)
from da_bench.methods import Dann, Mmd
from da_bench.training import Training


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dann(weigth=1), "Dann has no field 'weigth'; did you mean 'weight'?"),
        (lambda: Dann(weight=-1), "Dann.weight = -1: input should be greater than or equal to 0"),
        (lambda: Dann(weight=float("nan")), "Dann.weight = nan: input should be a finite number"),
        (lambda: Dann(weight=float("inf")), "Dann.weight = inf"),
        (lambda: Dann(weight="much"), "Dann.weight = 'much'"),
        (
            lambda: Dann(schedule="rmap"),
            "Dann.schedule = 'rmap': input should be 'ramp', 'constant', 'slow_ramp' or 'warm_start'",
        ),
        (lambda: Dann(widths=7), "Dann.widths = 7"),
        (lambda: Mmd(layers=("featurs",)), "Mmd.layers.0 = 'featurs'"),
        (lambda: Mmd(factors=(0.0,)), "Mmd.factors.0 = 0.0"),
        (lambda: Training(steps=2.5), "Training.steps = 2.5"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(build, message):
    with pytest.raises(UserError) as caught:
        build()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_dataclasses_are_frozen():
    with pytest.raises(AttributeError):
        Dann().weight = 2.0


def test_float_fields_are_leaves_and_other_fields_are_structure():
    assert jax.tree.leaves(Dann(weight=0.25)) == [0.25]
    assert float_fields(Dann) == ["weight"]
    assert jax.tree.structure(Dann(weight=1.0)) == jax.tree.structure(Dann(weight=2.0))
    assert jax.tree.structure(Dann(widths=(3,))) != jax.tree.structure(Dann(widths=(4,)))


def test_a_stack_of_methods_can_be_vmapped():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(Dann(weight=w) for w in (1.0, 2.0, 3.0)))
    assert jax.vmap(lambda method: 2 * method.weight)(stacked).tolist() == [2.0, 4.0, 6.0]


def test_an_integer_in_a_float_field_becomes_a_float():
    assert Dann(weight=1) == Dann(weight=1.0)
    assert as_dict(Dann(weight=1)) == as_dict(Dann(weight=1.0))
    assert isinstance(as_dict(Dann(weight=1))["weight"], float)


def test_as_dict_is_json_with_the_name_first():
    assert list(as_dict(Dann(widths=(3, 4))).items())[:3] == [("name", "dann"), ("weight", 1.0), ("schedule", "ramp")]
    assert as_dict(Dann(widths=(3, 4)))["widths"] == [3, 4]


@config_dataclass
class Parent:
    rate: NonNegative = 1.0
    decay: NonNegative = field(default=0.5, since="0.2")


@config_dataclass
class Child(Parent):
    steps: int = field(default=3, since="0.4")


@config_dataclass
class Grandchild(Child):
    decay: NonNegative = 0.25


@pytest.mark.parametrize(
    ("value", "config"),
    [
        (Parent(), {"rate": 1.0}),
        (Parent(decay=0.75), {"rate": 1.0, "decay": 0.75}),
        (Child(), {"rate": 1.0}),
        (Child(decay=0.75), {"rate": 1.0, "decay": 0.75}),
        (Child(steps=4), {"rate": 1.0, "steps": 4}),
        (Grandchild(), {"rate": 1.0}),
        (Grandchild(decay=0.5), {"rate": 1.0, "decay": 0.5}),
    ],
)
def test_a_later_field_is_in_the_config_only_where_it_differs_from_its_default(value, config):
    """A subclass with a later field keeps the marks of its parent, so old ids do not change."""
    assert as_dict(value) == config


def test_marks_of_later_fields_accumulate_through_inheritance():
    assert since_marks(Parent) == {"decay": "0.2"}
    assert since_marks(Grandchild) == {"decay": "0.2", "steps": "0.4"}


def test_a_later_field_is_checked_and_a_leaf_like_any_other():
    with pytest.raises(UserError, match=r"Child\.decay = -1"):
        Child(decay=-1)
    assert float_fields(Child) == ["rate", "decay"]


def test_did_you_mean_suggests_the_nearest_name_or_lists_all():
    assert did_you_mean("dan", ["dann", "coral"]) == "; did you mean 'dann'?"
    assert did_you_mean("xyz", ["dann", "coral"]) == "; there are: coral, dann"
    assert "did you mean" not in did_you_mean("huber_mean", ["dann", "subspace_alignment"])


def test_a_registry_refuses_unknown_and_duplicate_names():
    things = Registry("thing")
    things.add("one", 1)
    things.add("one", 1)  # the same again, as when a module is imported twice
    with pytest.raises(UserError, match="unknown thing 'onne'; did you mean 'one'"):
        things["onne"]
    with pytest.raises(UserError, match="thing 'one' is registered twice"):
        things.add("one", object())
    assert list(things) == ["one"]


def test_the_message_of_a_check_in_post_init_is_kept():
    @config_dataclass
    class Pair:
        low: float = 0.0
        high: float = 1.0

        def __post_init__(self):
            if self.low > self.high:
                raise UserError("Pair.low is above Pair.high")

    with pytest.raises(UserError, match=r"^Pair.low is above Pair.high$"):
        Pair(low=2.0)


@pytest.mark.parametrize(
    ("name", "snake"), [("SourceOnly", "source_only"), ("Dann", "dann"), ("SmallCnn", "small_cnn")]
)
def test_snake_case(name, snake):
    assert snake_case(name) == snake
