"""The study of variants includes every value of every switch of every method."""

import json
from pathlib import Path
from runpy import run_path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from benchmarks.fidelity import markdown_lines
from da_bench.core.config import config_dataclass
from da_bench.methods import METHODS, Method

ROOT = Path(__file__).parents[2]
STUDY = run_path(str(ROOT / "experiments" / "fidelity.py"))
VARIANTS = STUDY["VARIANTS"]
DEEP = [name for name, cls in METHODS.items() if issubclass(cls, Method) and not cls.metadata.needs_batch_norm]


def test_every_value_of_a_new_switch_is_an_alternative():
    @config_dataclass
    class New:
        kind: Literal["a", "b", "c"] = "b"
        flag: bool = True
        weight: float = 1.0
        sizes: tuple[int, ...] = (1,)

    assert list(STUDY["field_alternatives"](New)) == [{"kind": "a"}, {"kind": "c"}, {"flag": False}]


@pytest.mark.parametrize("name", DEEP)
def test_every_value_of_every_switch_is_included(name):
    for field, hint in get_type_hints(METHODS[name]).items():
        if get_origin(hint) is Literal:
            included = {getattr(variant.value, field) for variant in VARIANTS if variant.method == name}
            assert included == set(get_args(hint))


def test_every_method_has_one_default():
    for method in {variant.method for variant in VARIANTS}:
        assert [variant.name for variant in VARIANTS if variant.method == method].count("") == 1


def test_every_method_can_run_on_the_network_of_the_study():
    assert {variant.method for variant in VARIANTS} <= set(DEEP)


def test_all_runs_are_different():
    runs = STUDY["EXPERIMENTS"]
    assert len({run.id for run in runs}) == len(runs)


def test_image_augmentation_does_not_run_on_points():
    (cutout,) = (variant for variant in VARIANTS if variant.method == "fix_match" and variant.name)
    assert cutout.experiments("moons/35") == []
    assert len(cutout.experiments("digits/synthetic-to-real")) == STUDY["SEEDS"]


def test_decay_by_steps_equals_that_of_tllib():
    """1 / (1 + 0.001 i)^0.75 corresponds to a decay rate of 0.001 times the steps."""
    (variant,) = (v for v in VARIANTS if v.decay_by_steps and v.method == "dann")
    assert variant.training("moons/35").decay_rate == pytest.approx(0.5)


def test_the_committed_table_is_that_of_its_json():
    table = json.loads((ROOT / "results" / "tables" / "fidelity.json").read_text())
    lines = (ROOT / "results" / "tables" / "fidelity.md").read_text()
    assert lines == "\n".join(markdown_lines(table)) + "\n"
