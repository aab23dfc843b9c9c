"""Files that declare a reproduction: how they are found, and what is refused."""

from pathlib import Path

import pytest

from da_bench.core.config import UserError
from da_bench.reporting.reproduction import declared, find, names
from da_bench.reporting.reproduction.selected_runs import cell_key
from da_bench.studies.experiment import Experiment
from tests.helpers import reproduction_file
from tests.helpers.reproduction_file import TEXT

NAMES = (
    "digits_ada",
    "digits_jmlr",
    "digits_shot",
    "jmlr_amazon",
    "jmlr_amazon_grid",
    "jmlr_amazon_msda",
    "jmlr_amazon_msda_networks",
    "jmlr_moons",
    "office31_resnet50",
    "surf",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory whose experiments are the only ones."""
    (tmp_path / "experiments").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(declared, "EXPERIMENT_FOLDERS", (Path("experiments"),))
    return tmp_path


def test_names_of_the_repository():
    assert tuple(names()) == NAMES
    with pytest.raises(UserError, match=r"'jmlr_moon'.*'jmlr_moons'"):
        find("jmlr_moon")


@pytest.mark.parametrize(
    ("name", "variable"), [*((name, "") for name in NAMES), ("digits_jmlr", "OTHERS"), ("digits_shot", "OTHERS")]
)
def test_every_printed_number_is_run_and_every_interval_is_of_a_quick_run(name, variable, monkeypatch):
    monkeypatch.setenv(variable or "NOTHING", "1")
    reproduction = find(name)
    assert set(reproduction.paper.cells) <= cells_of(reproduction.experiments)
    assert reproduction.paper.cost
    assert reproduction.question.endswith("?")
    assert reproduction.quick is None or set(reproduction.quick.within) <= cells_of(reproduction.quick.experiments)
    assert len({run.id for run in reproduction.experiments}) == len(reproduction.experiments)


def cells_of(experiments):
    return {cell_key(experiment.config()) for experiment in experiments}


@pytest.mark.parametrize(
    "assignment",
    [
        "PAPER = ",
        "PAPER: da.reproduction.Paper = ",
        "PAPER : 'Paper'=",
        "PAPER=",
        "THE_PAPER = PAPER = ",
    ],
)
def test_a_paper_is_found_however_it_is_assigned(folder, assignment):
    reproduction_file.write(folder, TEXT.replace("PAPER = ", assignment))
    assert names() == ["example"]
    assert isinstance(find("example").experiments[0], Experiment)


@pytest.mark.parametrize(
    "text",
    [
        '"""\nPAPER = 1\n"""\nEXPERIMENTS = []\n',
        "# PAPER = 1\nPAPERS = {}\nif PAPERS == 1:\n    pass\n",
        "PAPER: int\n",
        "def f():\n    PAPER = 1\n",
        "PAPER = = 1\n",
        "raise SystemExit('executed')\n",
    ],
)
def test_a_file_that_declares_no_paper_is_no_reproduction_and_is_not_executed(folder, text):
    reproduction_file.write(folder, text)
    assert names() == []


def test_experiments_of_the_working_directory_precede_those_of_the_installed_package(folder, monkeypatch):
    package = folder / "package"
    package.mkdir()
    reproduction_file.write(package, TEXT.replace("Does it work?", "Is it installed?"))
    reproduction_file.write(package, TEXT, name="other")
    monkeypatch.setattr(declared, "EXPERIMENT_FOLDERS", (Path("experiments"), package / "experiments"))
    assert find("example").question == "Is it installed?"
    reproduction_file.write(folder)
    assert names() == ["example", "other"]
    assert find("example").question == "Does it work?"
    (folder / "experiments" / "example.py").unlink()
    (folder / "experiments").rmdir()
    assert names() == ["example", "other"]


def test_without_any_folder_the_error_names_the_searched_folders(folder):
    (folder / "experiments").rmdir()
    with pytest.raises(UserError, match="experiments"):
        names()


def test_several_settings_with_the_rule_last_are_refused_before_any_run(folder):
    more = "EXPERIMENTS += [da.Experiment(task=TASK, method=da.methods.Dann(weight=w)) for w in (1.0, 2.0)]\n"
    reproduction_file.write(folder, TEXT.replace("PAPER =", more + "PAPER ="))
    with pytest.raises(UserError, match="2 settings of 'dann' on 'moons/35'"):
        find("example")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (TEXT.replace("QUICK = da.reproduction.Quick(EXPERIMENTS, ", "QUICK = (EXPERIMENTS, "), "QUICK"),
        (TEXT.replace("EXPERIMENTS = ", "RUNS = EXPERIMENTS_ = ").replace("(EXPERIMENTS,", "(RUNS,"), "EXPERIMENTS"),
    ],
)
def test_a_file_that_defines_something_else_is_refused(folder, text, named):
    reproduction_file.write(folder, text)
    with pytest.raises(UserError, match=named):
        find("example")
