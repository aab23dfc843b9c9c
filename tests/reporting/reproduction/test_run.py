"""Cards that are written and remade, the quick check, and what a reproduction needs from its options."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from da_bench.cli import main
from da_bench.cli import reproduce as command
from da_bench.data.tasks import load
from da_bench.reporting.plots import write
from da_bench.reporting.reproduction import declared, find, options_for, remake_card, run
from da_bench.reporting.reproduction.selected_runs import group_by_cell, selected_accuracies
from da_bench.reporting.stats.intervals import prediction_interval
from da_bench.studies import study as studies
from da_bench.studies.archive import NAME, records_in
from da_bench.studies.options import Options
from tests.helpers import fake, reproduction_file
from tests.helpers.reproduction_file import TASK, TEXT

ROOT = Path(__file__).parents[3]
WITH_CARD = sorted(path.parent.name for path in (ROOT / "results").glob("*/card.md"))


@pytest.fixture(autouse=True)
def own_devices(monkeypatch):
    monkeypatch.setattr(jax.config, "update", lambda *_: None)


@pytest.mark.artefacts
def test_the_readme_counts_reproduced_numbers_as_the_cards_do():
    counts = dict(re.findall(r"\(results/(\w+)/card\.md\).*?\| (\d+ of \d+) \|", (ROOT / "README.md").read_text()))
    assert set(counts) <= set(WITH_CARD)
    for name, count in counts.items():
        card = json.loads((ROOT / "results" / name / "card.json").read_text())
        assert count == f"{card['reproduced']} of {card['of']}"


@pytest.fixture
def make_runs(tmp_path, monkeypatch):
    """One reproduction in the working directory, whose runs have given target accuracies instead of being computed."""
    reproduction_file.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(declared, "EXPERIMENT_FOLDERS", (Path("experiments"),))

    def set_accuracies(*targets):
        records = fake.runs(targets, task=TASK, method="source_only")
        study = lambda experiments, options: studies.Results(records, options.results)  # noqa: E731
        monkeypatch.setattr(run, "study", study)
        monkeypatch.setattr(command, "study", study)

    return set_accuracies


def test_a_number_outside_its_interval_ends_the_quick_check_with_1(make_runs, capsys):
    make_runs(0.64, 0.66)
    assert main(["reproduce", "example", "--quick"]) == 0
    assert "source_only on moons/35: 65.0" in capsys.readouterr().out
    make_runs(0.70, 0.72)
    assert main(["reproduce", "example", "--quick"]) == 1
    error = capsys.readouterr().err
    assert "1 of 1 numbers" in error
    assert "source_only on moons/35: 71.0" in error
    make_runs()
    assert main(["reproduce", "example", "--quick"]) == 1


def test_the_card_is_written_and_can_be_remade_from_the_archive(make_runs, tmp_path, monkeypatch, capsys):
    make_runs(0.69, 0.70)
    monkeypatch.setattr(write, "write_plots", lambda *_: [])
    assert main(["reproduce", "example"]) == 0
    assert "reproduced" in capsys.readouterr().out
    folder = tmp_path / "results" / "example"
    assert (folder / NAME).is_file()
    assert "1 of 1 printed numbers reproduced" in (folder / "card.md").read_text()
    assert remake_card(find("example"), folder).markdown() == (folder / "card.md").read_text()


def test_the_label_free_rule_is_not_the_oracle_and_gets_what_it_needs(make_runs, capsys):
    make_runs(0.7)
    assert main(["reproduce", "example", "--rule", "oracle"]) == 2
    assert "oracle" in capsys.readouterr().err
    assert options_for(find("example"), Options(), "dev").validators == "all"
    assert options_for(find("example"), Options(), "reverse_validation").reverse is True


def test_fewer_seeds_than_planned_have_no_verdict(make_runs, tmp_path, monkeypatch):
    make_runs(0.69)
    monkeypatch.setattr(write, "write_plots", lambda *_: [])
    assert main(["reproduce", "example"]) == 0
    page = (tmp_path / "results" / "example" / "card.md").read_text()
    assert "1 of 2 seeds" in page
    assert "0 of 1 printed numbers reproduced" in page


def test_a_quick_check_needs_a_name(make_runs, capsys):
    assert main(["reproduce", "--quick"]) == 2
    assert "da-bench reproduce NAME --quick" in capsys.readouterr().err


def test_without_a_name_reproductions_are_listed(make_runs, capsys):
    assert main(["reproduce"]) == 0
    assert capsys.readouterr().out == "example: T. Does it work?\n  none\n"


def test_a_share_writes_no_card(make_runs, tmp_path, capsys):
    make_runs(0.7)
    assert main(["reproduce", "example", "--shard", "1/2"]) == 0
    assert "--shard" in capsys.readouterr().out
    assert not (tmp_path / "results" / "example").exists()


@pytest.mark.parametrize(("name", "folder"), [("jmlr_amazon", "amazon_reviews"), ("surf", "office_caltech10")])
def test_missing_data_are_one_message_and_nothing_is_written(name, folder, tmp_path, capsys):
    arguments = ["reproduce", name, "--results", str(tmp_path / "results"), "--data-root", str(tmp_path)]
    assert main(arguments) == 2
    assert folder in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_rule_that_needs_features_or_reverse_validation_extends_the_options(make_runs, tmp_path):
    assert options_for(find("example"), Options()).validators == "quick"
    reproduction_file.write(tmp_path, TEXT.replace('rule="last"', 'rule="reverse_features"'))
    assert options_for(find("example"), Options()).validators == "all"
    reproduction_file.write(tmp_path, TEXT.replace('rule="last"', 'rule="reverse_validation"'))
    assert options_for(find("example"), Options()).reverse is True
    reproduction_file.write(tmp_path, TEXT.replace('rule="last"', 'rule="last", rules={"svm": "reverse_validation"}'))
    assert options_for(find("example"), Options()).reverse == ("svm",)
    assert group_by_cell([]) == {}


@pytest.mark.slow
def test_the_quick_check_of_the_moons(capsys):
    assert main(["reproduce", "jmlr_moons", "--quick"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def algorithm_1(task, seed, passes=500, weight=6.0, rate=0.05, width=15):
    """Target test accuracy of the paper's Algorithm 1, a row of each domain a step, by hand in float64."""
    rng = np.random.default_rng(seed)
    x, y = np.asarray(task.source.train.inputs, float), np.asarray(task.source.train.labels)
    z = np.asarray(task.target.train.inputs, float)
    W, V = (rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in ((width, 2), (2, width)))
    b, c, u, d = np.zeros(width), np.zeros(2), np.zeros(width), 0.0
    for i in np.concatenate([rng.permutation(len(x)) for _ in range(passes)]):
        j = rng.integers(len(z))
        source, target = sigmoid(W @ x[i] + b), sigmoid(W @ z[j] + b)
        error = np.exp(V @ source + c) / np.exp(V @ source + c).sum() - np.eye(2)[y[i]]
        to_one, to_zero = weight * (1 - sigmoid(u @ source + d)), -weight * sigmoid(u @ target + d)
        down = (V.T @ error + to_one * u) * source * (1 - source)
        across = to_zero * u * target * (1 - target)
        V, c = V - rate * np.outer(error, source), c - rate * error
        W, b = W - rate * (np.outer(down, x[i]) + np.outer(across, z[j])), b - rate * (down + across)
        u, d = u + rate * (to_one * source + to_zero * target), d + rate * (to_one + to_zero)
    test = task.target.test
    predicted = (sigmoid(test.inputs @ W.T + b) @ V.T + c).argmax(axis=1)
    return np.mean(predicted == test.labels)


@pytest.mark.slow
def test_the_papers_algorithm_by_hand_ends_where_the_committed_runs_end():
    reproduction = find("jmlr_moons")
    key = next(iter(reproduction.paper.cells))
    committed = group_by_cell(records_in(ROOT / "results" / reproduction.name))[key]
    low, high = prediction_interval(list(selected_accuracies(committed, "last").values()))
    accuracies = [algorithm_1(load(key[1]), seed) for seed in range(3)]
    assert low < np.mean(accuracies) < high
