"""`da-bench table`."""

import json

import pytest


@pytest.mark.parametrize(
    ("form", "holds"),
    [
        ("text", "source_only"),
        ("markdown", "| source"),
        ("latex", r"\toprule"),
        ("csv", "target_last.mean"),
        ("json", '"columns"'),
    ],
)
def test_tables_of_a_folder_in_every_form(form, holds, study, command):
    code, out, _ = command("table", "--results", str(study / "results"), "--format", form, "--rule", "im")
    assert code == 0
    assert holds in out
    if form == "json":
        assert [table["title"] for table in json.loads(out)] == ["moons/35"]


@pytest.mark.parametrize(
    ("of", "holds"),
    [
        ("validators", "Validators, moons/35, over checkpoints"),
        ("validators-by-method", "Validators, moons/35: dann, over checkpoints"),
        ("transferability", "Transferability by pair"),
    ],
)
def test_tables_of_other_things(of, holds, study, command):
    code, out, _ = command("table", "--results", str(study / "results"), "--of", of, "--format", "markdown")
    assert code == 0
    assert holds in out


def test_a_task_without_records(study, command):
    code, _, err = command("table", "--results", str(study / "results"), "--task", "mnist-to-usps")
    assert code == 2
    assert "no records of task 'mnist-to-usps'" in err


def test_a_table_of_searches_where_there_are_none(study, command):
    code, _, err = command("table", "--of", "search", "--results", str(study / "results"))
    assert code == 2
    assert "`da-bench search`" in err
