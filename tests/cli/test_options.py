"""Options of the command line and the objects that they stand for have one declaration."""

import dataclasses
from typing import get_args, get_type_hints

import pytest

import da_bench as da
from da_bench.cli.options import Augment, LabelsFrom, StudyCommand, StudyOptions, read_shard
from da_bench.cli.parse import Words, read
from da_bench.core.config import UserError
from da_bench.data.transforms import View


def study_command(*words):
    return read(StudyCommand, Words("da-bench run FILE.py", list(words)))


def test_every_field_of_options_is_an_option_but_progress():
    names = {field.name for field in dataclasses.fields(StudyOptions)}
    assert {field.name for field in dataclasses.fields(da.Options)} - names == {"progress"}


def test_the_defaults_are_those_of_options():
    assert study_command().options() == da.Options()


def test_options_take_their_values():
    options = study_command(
        "--results", "there", "--shard", "2/8", "--reverse", "--isolate", "--timeout", "5", "--at-once", "3", "--json"
    ).options()
    expected = {"shard": (2, 8), "reverse": True, "isolate": True, "timeout": 5.0, "at_once": 3, "progress": "json"}
    assert {name: getattr(options, name) for name in expected} == expected
    assert str(options.results) == "there"
    assert study_command("--quiet").options().progress == "none"


def test_help_has_the_documentation_of_options(capsys):
    with pytest.raises(SystemExit):
        study_command("--help")
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for line in ("checkpoints of unfinished runs", "Weights & Biases", "second of eight"):
        assert line in printed


@pytest.mark.parametrize(
    ("choices", "cls", "field"), [(LabelsFrom, da.Experiment, "labels_from"), (Augment, View, "augment")]
)
def test_choices_are_those_of_the_field(choices, cls, field):
    assert get_args(choices) == get_args(get_type_hints(cls)[field])


@pytest.mark.parametrize("text", ["", "2", "0/8", "9/8", "a/8", "1/-8", "1/8/2", "1/0"])
def test_a_malformed_share_is_refused(text):
    with pytest.raises(UserError, match="--shard"):
        read_shard(text)


def test_a_share():
    assert read_shard("8/8") == (8, 8)
