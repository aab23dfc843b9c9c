"""Reproductions: the files that declare them, the cards that are kept, and the check that CI makes."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from da_bench.cli import main
from da_bench.core.config import UserError
from da_bench.data.tasks import load
from da_bench.reporting import reproduction as reproduce
from da_bench.reporting.plots import plots
from da_bench.reporting.reproduction.card import cell_key, group_by_cell, selected_accuracies
from da_bench.reporting.stats.intervals import prediction_interval
from da_bench.studies import study as execute
from da_bench.studies.archive import NAME, unpack
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from tests.helpers import fake

ROOT = Path(__file__).parents[3]
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
KEPT = sorted(path.parent.name for path in (ROOT / "results").glob("*/card.md"))
TASK = "moons/35"


@pytest.fixture(autouse=True)
def own_devices(monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)


def test_there_are_these():
    assert tuple(reproduce.names()) == NAMES
    with pytest.raises(UserError, match="no reproduction 'jmlr_moon'; did you mean 'jmlr_moons'"):
        reproduce.find("jmlr_moon")


@pytest.mark.parametrize(
    ("name", "asked"), [*((name, "") for name in NAMES), ("digits_jmlr", "OTHERS"), ("digits_shot", "OTHERS")]
)
def test_every_printed_number_is_run_and_every_interval_is_of_a_quick_run(name, asked, monkeypatch):
    monkeypatch.setenv(asked or "NOTHING", "1")
    one = reproduce.find(name)
    assert set(one.paper.cells) <= made_by(one.experiments)
    assert one.paper.cost
    assert one.question.endswith("?")
    assert one.quick is None or set(one.quick.within) <= made_by(one.quick.experiments)
    assert len({run.id for run in one.experiments}) == len(one.experiments)


def made_by(experiments):
    return {cell_key(one.config()) for one in experiments}


@pytest.mark.parametrize("name", KEPT)
def test_the_cards_that_are_kept_are_those_of_their_records(name, tmp_path):
    kept = ROOT / "results" / name
    card = reproduce.remake_card(reproduce.find(name), kept)
    for path in reproduce.write_card(card, [], tmp_path):
        assert path.read_bytes() == (kept / path.name).read_bytes()


def test_the_readme_counts_as_the_cards_do():
    readme = (ROOT / "README.md").read_text()
    counted = dict(re.findall(r"\(results/(\w+)/card\.md\).*?\| (\d+ of \d+) \|", readme))
    assert sorted(counted) == KEPT
    for name, said in counted.items():
        card = json.loads((ROOT / "results" / name / "card.json").read_text())
        assert said == f"{card['reproduced']} of {card['of']}"


FILE = '''"""Does it work?"""
import da_bench as da
TASK = "moons/35"
EXPERIMENTS = da.over_seeds([da.Experiment(task=TASK, method=da.methods.SourceOnly())], 2)
PAPER = da.reproduction.Paper(
    title="T", citation="c", protocol="p", selection="s", rule="last", cells={("source_only", TASK): 0.7}, cost="none"
)
QUICK = da.reproduction.Quick(EXPERIMENTS, {("source_only", TASK): (0.6, 0.7)})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one reproduction, whose runs are made up: their target accuracies are given."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "one.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)

    def made(*targets):
        records = fake.runs(targets, task=TASK, method="source_only")
        study = lambda experiments, options: execute.Results(records, options.results)  # noqa: E731
        monkeypatch.setattr(reproduce, "study", study)
        monkeypatch.setattr(execute, "study", study)

    return made


def test_a_number_that_leaves_its_interval_ends_the_quick_check_with_1(folder, capsys):
    folder(0.64, 0.66)
    assert main(["reproduce", "one", "--quick"]) == 0
    assert capsys.readouterr().out == "source_only on moons/35: 65.0, of [60.0, 70.0]\n"
    folder(0.70, 0.72)
    assert main(["reproduce", "one", "--quick"]) == 1
    assert "1 of 1 numbers left their interval: source_only on moons/35: 71.0" in capsys.readouterr().err
    folder()
    assert main(["reproduce", "one", "--quick"]) == 1


def test_the_card_is_written_and_can_be_made_again_from_what_is_kept(folder, tmp_path, monkeypatch, capsys):
    folder(0.69, 0.70)
    monkeypatch.setattr(plots, "write_plots", lambda *_: [])
    assert main(["reproduce", "one"]) == 0
    assert "reproduced" in capsys.readouterr().out
    kept = tmp_path / "results" / "one"
    assert (kept / NAME).is_file()
    assert "1 of 1 printed numbers reproduced" in (kept / "card.md").read_text()
    assert reproduce.remake_card(reproduce.find("one"), kept).markdown() == (kept / "card.md").read_text()


def test_the_honest_rule_is_not_the_oracle_and_gets_what_it_needs(folder, capsys):
    folder(0.7)
    assert main(["reproduce", "one", "--rule", "oracle"]) == 2
    assert "needs no target label" in capsys.readouterr().err
    assert reproduce.options_for(reproduce.find("one"), Options(), "dev").validators == "all"
    assert reproduce.options_for(reproduce.find("one"), Options(), "reverse_validation").reverse is True


def test_settings_that_the_last_step_cannot_choose_among_are_refused_before_any_run(folder, tmp_path):
    more = "EXPERIMENTS += [da.Experiment(task=TASK, method=da.methods.Dann(weight=w)) for w in (1.0, 2.0)]\n"
    (tmp_path / "experiments" / "one.py").write_text(FILE.replace("PAPER =", more + "PAPER ="))
    with pytest.raises(UserError, match="2 settings of 'dann' on 'moons/35'"):
        reproduce.find("one")


def test_fewer_seeds_than_planned_have_no_verdict(folder, tmp_path, monkeypatch):
    folder(0.69)
    monkeypatch.setattr(plots, "write_plots", lambda *_: [])
    assert main(["reproduce", "one"]) == 0
    page = (tmp_path / "results" / "one" / "card.md").read_text()
    assert "1 of 2 seeds" in page
    assert "0 of 1 printed numbers reproduced" in page


def test_a_quick_check_wants_a_name(folder, capsys):
    assert main(["reproduce", "--quick"]) == 2
    assert "da-bench reproduce NAME --quick" in capsys.readouterr().err


def test_without_a_name_there_is_a_list(folder, capsys):
    assert main(["reproduce"]) == 0
    assert capsys.readouterr().out == "one: T. Does it work?\n  none\n"


def test_a_share_writes_no_card(folder, tmp_path, capsys):
    folder(0.7)
    assert main(["reproduce", "one", "--shard", "1/2"]) == 0
    assert "without --shard writes the card" in capsys.readouterr().out
    assert not (tmp_path / "results" / "one").exists()


@pytest.mark.parametrize(("name", "said"), [("jmlr_amazon", "amazon_reviews"), ("surf", "office_caltech10")])
def test_missing_data_are_one_message_and_nothing_is_written(name, said, tmp_path, capsys):
    given = ["reproduce", name, "--results", str(tmp_path / "results"), "--data-root", str(tmp_path)]
    assert main(given) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            FILE.replace("QUICK = da.reproduction.Quick(EXPERIMENTS, ", "QUICK = (EXPERIMENTS, "),
            "QUICK, if there is one",
        ),
        (
            FILE.replace("EXPERIMENTS = ", "RUNS = EXPERIMENTS_ = ").replace("(EXPERIMENTS,", "(RUNS,"),
            "must define EXPERIMENTS",
        ),
    ],
)
def test_a_file_that_defines_something_else_is_refused(folder, tmp_path, text, said):
    (tmp_path / "experiments" / "one.py").write_text(text)
    with pytest.raises(UserError, match=said):
        reproduce.find("one")


def test_a_rule_that_needs_features_or_reverse_learners_asks_for_them(folder, tmp_path):
    path = tmp_path / "experiments" / "one.py"
    assert reproduce.options_for(reproduce.find("one"), Options()).validators == "quick"
    path.write_text(FILE.replace('rule="last"', 'rule="reverse_features"'))
    assert reproduce.options_for(reproduce.find("one"), Options()).validators == "all"
    path.write_text(FILE.replace('rule="last"', 'rule="reverse_validation"'))
    assert reproduce.options_for(reproduce.find("one"), Options()).reverse is True
    path.write_text(FILE.replace('rule="last"', 'rule="last", rules={"svm": "reverse_validation"}'))
    assert reproduce.options_for(reproduce.find("one"), Options()).reverse == ("svm",)
    assert group_by_cell([]) == {}
    assert isinstance(reproduce.find("one").experiments[0], Experiment)


@pytest.mark.slow
def test_the_quick_check_of_the_moons(capsys):
    assert main(["reproduce", "jmlr_moons", "--quick"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def algorithm_1(task, seed, passes=500, weight=6.0, rate=0.05, width=15):
    """Target test accuracy of the paper's Algorithm 1, a row of each domain a step, by hand in float64."""
    noise = np.random.default_rng(seed)
    x, y = np.asarray(task.source.train.inputs, float), np.asarray(task.source.train.labels)
    z = np.asarray(task.target.train.inputs, float)
    W, V = (noise.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in ((width, 2), (2, width)))
    b, c, u, d = np.zeros(width), np.zeros(2), np.zeros(width), 0.0
    for i in np.concatenate([noise.permutation(len(x)) for _ in range(passes)]):
        j = noise.integers(len(z))
        ours, theirs = sigmoid(W @ x[i] + b), sigmoid(W @ z[j] + b)
        error = np.exp(V @ ours + c) / np.exp(V @ ours + c).sum() - np.eye(2)[y[i]]
        to_one, to_zero = weight * (1 - sigmoid(u @ ours + d)), -weight * sigmoid(u @ theirs + d)
        down = (V.T @ error + to_one * u) * ours * (1 - ours)
        across = to_zero * u * theirs * (1 - theirs)
        V, c = V - rate * np.outer(error, ours), c - rate * error
        W, b = W - rate * (np.outer(down, x[i]) + np.outer(across, z[j])), b - rate * (down + across)
        u, d = u + rate * (to_one * ours + to_zero * theirs), d + rate * (to_one + to_zero)
    test = task.target.test
    guessed = (sigmoid(test.inputs @ W.T + b) @ V.T + c).argmax(axis=1)
    return np.mean(guessed == test.labels)


@pytest.mark.slow
def test_the_papers_algorithm_by_hand_ends_where_our_runs_end():
    one = reproduce.find("jmlr_moons")
    place = next(iter(one.paper.cells))
    kept = group_by_cell(unpack(ROOT / "results" / one.name / NAME).records)[place]
    low, high = prediction_interval(list(selected_accuracies(kept, "last").values()))
    found = [algorithm_1(load(place[1]), seed) for seed in range(3)]
    assert low < np.mean(found) < high
