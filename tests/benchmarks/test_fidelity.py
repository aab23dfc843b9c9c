"""The study of fidelity holds every form of every method; a new one enters by itself."""

from pathlib import Path
from runpy import run_path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from da_bench.core.config import setting
from da_bench.methods import METHODS, Method

STUDY = run_path(str(Path(__file__).parents[2] / "experiments" / "fidelity.py"))
VARIANTS = STUDY["VARIANTS"]
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method) and not cls.metadata.needs_batch_norm]


def test_every_value_of_a_new_switch_enters():
    @setting
    class New:
        kind: Literal["a", "b", "c"] = "b"
        flag: bool = True
        weight: float = 1.0
        sizes: tuple[int, ...] = (1,)

    assert list(STUDY["choices"](New)) == [{"kind": "a"}, {"kind": "c"}, {"flag": False}]


@pytest.mark.parametrize("name", DEEP)
def test_every_value_of_every_switch_is_there(name):
    for field, hint in get_type_hints(METHODS[name]).items():
        if get_origin(hint) is Literal:
            shown = {getattr(one.value, field) for one in VARIANTS if one.method == name}
            assert shown == set(get_args(hint))


def test_a_variant_is_read_against_one_default_of_its_method():
    for name in {one.method for one in VARIANTS}:
        assert [one.name for one in VARIANTS if one.method == name].count("") == 1


def test_every_method_can_run_on_the_network_of_the_study():
    assert {one.method for one in VARIANTS} <= set(DEEP)


def test_every_run_is_another():
    runs = STUDY["EXPERIMENTS"]
    assert len({run.id for run in runs}) == len(runs)


def test_what_is_of_images_does_not_run_on_points():
    (cutout,) = (one for one in VARIANTS if one.method == "fix_match" and one.name)
    assert cutout.runs("moons/35") == []
    assert len(cutout.runs("digits/synthetic-to-real")) == STUDY["SEEDS"]


def test_a_rate_by_steps_is_tllibs():
    """1 / (1 + 0.001 i)^0.75 is a decay rate of 0.001 times the steps."""
    (by_steps,) = (one for one in VARIANTS if one.by_steps and one.method == "dann")
    assert by_steps.training("moons/35").decay_rate == pytest.approx(0.5)
