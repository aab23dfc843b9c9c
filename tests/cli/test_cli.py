"""The command line as its users meet it: quick help, one message for a wrong word, the same table twice."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from da_bench import cli
from da_bench.cli.parse import Words, read
from da_bench.cli.run import method_command
from da_bench.core.config import Positive, UserError, config_dataclass
from da_bench.data import tasks
from da_bench.evaluation.validators import VALIDATORS
from da_bench.methods import METHODS
from da_bench.models import MODELS
from da_bench.studies import fit

FILE = """
import da_bench as da
from baselines import target_only
from da_bench.classical import LogisticRegression

TRAINING = da.Training(steps=10, evaluations=2, batch_size=16)
methods = [da.methods.SourceOnly(), da.methods.Dann(widths=(4,))]
runs = [da.Experiment(task="moons/35", method=method, training=TRAINING) for method in methods]
SHALLOW = da.Experiment(task="moons/35", method=LogisticRegression())
EXPERIMENTS = [*da.over_seeds([*runs, target_only(runs[0])], 2), SHALLOW]
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """In an empty folder, with the devices that the tests have already set up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with the results of a small file of experiments."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.py").write_text(FILE)
    patch = pytest.MonkeyPatch()
    with patch.context() as context:
        context.setattr("da_bench.cli.devices.set_up", lambda *_: None)
        assert cli.main(["run", str(folder / "small.py"), "--results", str(folder / "results")]) == 0
    return folder


def said(capsys, *arguments):
    """(exit code, standard output, standard error) of a command."""
    try:
        code = cli.main(arguments)
    except SystemExit as stop:  # tyro's way to end
        code = stop.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_help_is_quick():
    """Half a second of processor time, which other work on the machine does not touch."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "da_bench", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert min(spent) < 0.5


@pytest.mark.parametrize("words", [["list", "models", "--json"], ["--help"], ["run", "dann", "--help"]])
def test_a_reader_that_has_gone_is_no_fault(words):
    command = [sys.executable, "-m", "da_bench", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_help_imports_nothing_heavy():
    script = "import sys; from da_bench.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert {"jax", "flax", "numpy", "pydantic", "wandb", "matplotlib"}.isdisjoint(done.stderr.split())
    assert "da-bench COMMAND" in done.stdout


@pytest.mark.parametrize("verb", ["run", "search", "table", "plot", "list"])
def test_every_verb_explains_itself(verb, capsys):
    code, out, _ = said(capsys, verb, "--help")
    assert code in (0, None)
    assert len(out) > 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu"], "unknown command 'da-bench rnu'; did you mean 'run'?"),
        (["run", "--task", "moons/35"], "before '--task'"),
        (["run", "dann"], "missing: --task"),
        (["run", "dann", "--task"], "--task needs a value"),
        (["run", "dann", "--task", "moons/35", "--seeds", "x"], "--seeds: 'x' is not a whole number"),
        (["run", "dann", "--task", "moons/35", "--weight", "x"], "--weight: 'x' is not a number"),
        (["run", "dann", "--task", "moons/35", "extra"], "unexpected argument 'extra'"),
        (["run", "dann", "--task", "moons/35", "--wandb", "onlien"], "did you mean 'online'?"),
        (["run", "dann", "--task", "moons/35", "--shard", "3/2"], "--shard 3/2"),
        (["run", "dann", "--task", "moons/35", "--training.stepss", "2"], "did you mean '--training.steps'?"),
        (["list"], "missing: KIND"),
        (["run", "dannn", "--task", "moons/35"], "unknown method 'dannn'; did you mean 'dann'?"),
        (["run", "dann", "--task", "moon/35"], "unknown task 'moon/35'; did you mean 'moons/35'?"),
        (["run", "dann", "--task", "moons/35", "--model", "mpl"], "unknown model 'mpl'; did you mean 'mlp'?"),
        (["run", "dann", "--task", "moons/35", "--weigth", "2"], "unknown option '--weigth'; did you mean '--weight'?"),
        (["run", "dann", "--task", "moons/35", "--weight", "-2"], "Dann.weight = -2.0"),
        (["run", "dann", "--task", "moons/35", "--weight", "nan"], "Dann.weight = nan"),
        (["run", "dann", "--task", "moons/35", "--training.learning-rate", "nan"], "Training.learning_rate = nan"),
        (["run", "dann", "--task", "moons/35", "--seeds", "0"], "seeds = 0"),
        (["run", "dann", "--task", "moons/35", "--at-once", "0"], "Options.at_once = 0"),
        (["run", "dann", "--task", "moons/35", "--training.batch-size", "301"], "give at most 300, or None"),
        (["run", "dann", "--task", "moons/35", "--model", "lenet"], "cannot take the inputs of moons/35"),
        (["run", "tent", "--task", "moons/35"], "Tent adapts batch normalisation, and this network has none"),
        (["run", "gone.py"], "no such file: gone.py"),
        (["run", "gone.json"], "no such file: gone.json"),
        (["table", "--results", "nowhere"], "no records in nowhere/runs"),
        (["table", "--rule", "lats"], "unknown rule 'lats'; did you mean 'last'?"),
        (["table", "--others", "sdn"], "unknown rule 'sdn'; did you mean 'snd'?"),
        (["run", "dann", "--task", "moons/35", "--rule", "orcale"], "did you mean 'oracle'?"),
        (["list", "mehtods"], "did you mean 'methods'?"),
        (["search", "dannn", "--task", "moons/35"], "unknown method 'dannn'; did you mean 'dann'?"),
        (["search", "dann", "--task", "moons/35", "--trials", "0"], "trials = 0: at least 1 is needed"),
        (["search", "dann", "--task", "moons/35", "--seeds", "0"], "seeds = 0"),
        (["search", "dann", "--task", "moons/35", "--rule", "imm"], "unknown rule 'imm'; did you mean 'im'?"),
        (["search", "logistic_regression", "--task", "moons/35"], "'logistic_regression' is a classical method"),
        (["search", "dann", "--task", "moons/35", "--learning-rates", "0.1", "0.01"], "the lower one first"),
        (["search", "dann", "--task", "moons/35", "--learning-rates", "0.1", "1.0"], "training.learning_rate = 0.01"),
        (["search", "dann", "--task", "moons/35", "--sampler", "tpe"], "--sampler tpe needs --storage FILE"),
        (
            ["search", "dann", "--task", "moons/35", "--sampler", "tpe", "--storage", "s.log", "--rule", "oracle"],
            "the oracle cannot be what a search raises",
        ),
    ],
)
def test_a_wrong_word_is_one_message_and_leaves_nothing(arguments, says, capsys, tmp_path):
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.startswith("da-bench: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_on_the_command_line(name):
    asked = read(method_command(METHODS[name]), Words("da-bench run", ["--task", "moons/35"]))
    assert asked.method == METHODS[name]()


def test_a_field_that_is_called_like_an_option_is_refused():
    @config_dataclass
    class Crowded:
        shard: Positive = 1.0

    with pytest.raises(UserError, match=r"Crowded.shard: `da-bench run` has an option of this name; rename the field"):
        method_command(Crowded)


def test_a_file_without_experiments(capsys, tmp_path):
    (tmp_path / "empty.py").write_text("x = 1")
    code, _, err = said(capsys, "run", "empty.py")
    assert code == 2
    assert "empty.py must define EXPERIMENTS" in err


def test_a_missing_data_root_says_which_files_where_and_how(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    code, _, err = said(capsys, "run", "dann", "--task", "mnist-to-usps")
    assert code == 2
    for word in ("train-images-idx3-ubyte.gz", "mnist/", "DA_BENCH_DATA", "--data-root", "https://"):
        assert word in err
    (tmp_path / "data").mkdir()
    code, _, err = said(capsys, "run", "dann", "--task", "mnist-to-usps", "--data-root", "data")
    assert code == 2
    assert "missing in 'data/mnist': train-images-idx3-ubyte.gz" in err
    assert not (tmp_path / "results").exists()


def test_a_corrupt_file_is_named(capsys, tmp_path):
    for folder, names in (
        ("mnist", ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")),
        ("usps", ("usps.bz2", "usps.t.bz2")),
    ):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for name in names:
            path = name if folder == "usps" else f"{name}-ubyte.gz"
            (tmp_path / "data" / folder / path).write_bytes(b"\x1f\x8bbroken")
    code, _, err = said(capsys, "run", "dann", "--task", "mnist-to-usps", "--data-root", "data")
    assert code == 2
    assert "train-images-idx3-ubyte.gz" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("kind", "names"), [("methods", METHODS), ("tasks", tasks.names()), ("models", MODELS), ("validators", VALIDATORS)]
)
def test_list_names_everything_for_people_and_for_programs(kind, names, capsys):
    _, text, _ = said(capsys, "list", kind)
    _, out, _ = said(capsys, "list", kind, "--json")
    assert [thing["name"] for thing in json.loads(out)] == list(names)
    assert [line.split()[0] for line in text.splitlines()] == list(names)
    assert all(thing["summary"] for thing in json.loads(out))


def test_a_file_of_experiments_leaves_records_tables_and_plots(study):
    assert len(list((study / "results" / "runs").iterdir())) == 7
    written = {path.name for path in (study / "results" / "small").iterdir()}
    assert {"tables.md", "tables.tex", "tables.csv", "tables.json", "accuracy.png", "curves.svg"} <= written


def test_run_again_makes_nothing_and_prints_the_same(study, capsys):
    def stamps():
        return {path: path.stat().st_mtime_ns for path in (study / "results" / "runs").rglob("*")}

    before = stamps()
    arguments = ("run", str(study / "small.py"), "--results", str(study / "results"))
    code, first, _ = said(capsys, *arguments)
    _, second, _ = said(capsys, *arguments)
    assert code == 0
    assert first == second
    assert all(word in first for word in ("source_only", "dann", "upper bound", "7 records in", "tables.md"))
    assert stamps() == before


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
def test_tables_of_a_folder_in_every_form(form, holds, study, capsys):
    code, out, _ = said(capsys, "table", "--results", str(study / "results"), "--format", form, "--rule", "im")
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
def test_tables_of_other_things(of, holds, study, capsys):
    code, out, _ = said(capsys, "table", "--results", str(study / "results"), "--of", of, "--format", "markdown")
    assert code == 0
    assert holds in out


def test_plots_of_a_folder(study, capsys, tmp_path):
    code, out, _ = said(capsys, "plot", "--results", str(study / "results"), "--out", str(tmp_path / "figures"))
    assert code == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("accuracy", "curves", "validators") for kind in ("png", "svg")
    }
    assert "accuracy.png" in out


def test_a_task_without_records_is_said(study, capsys):
    code, _, err = said(capsys, "table", "--results", str(study / "results"), "--task", "mnist-to-usps")
    assert code == 2
    assert "no records of task 'mnist-to-usps'" in err


def test_a_run_from_its_config_is_the_same_to_the_bit(study, capsys, tmp_path):
    for folder in (study / "results" / "runs").iterdir():
        config = json.loads((folder / "config.json").read_text())
        if config["method"]["name"] == "dann":
            break
    code, _, _ = said(capsys, "run", str(folder / "config.json"), "--results", "again")
    assert code == 0
    first, second = (np.load(path / "predictions.npz") for path in (folder, tmp_path / "again" / "runs" / folder.name))
    assert all(np.array_equal(first[name], second[name]) for name in ("source_test", "target_test"))


def test_one_method_from_the_command_line(capsys, tmp_path):
    options = ("--training.steps", "10", "--training.evaluations", "1", "--weight", "0.25", "--layer", "features")
    code, out, _ = said(capsys, "run", "coral", "--task", "moons/35", "--seeds", "2", *options)
    assert code == 0
    assert "2 records in results/runs" in out
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("results/runs/*/config.json")]
    assert {config["seed"] for config in configs} == {0, 1}
    method = {"name": "coral", "weight": 0.25, "layer": "features", "means": False}
    assert all(config["method"] == method for config in configs)
    assert all(config["training"]["steps"] == 10 for config in configs)


def test_the_installed_command_runs():
    """The script itself, as a shell finds it."""
    command = os.path.join(os.path.dirname(sys.executable), "da-bench")
    done = subprocess.run([command, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "0.1.0"


def test_a_search_is_a_program_a_method_with_source_only_beside_it_and_has_a_table_of_its_own(capsys, monkeypatch):
    build, built = fit.InMemory, []
    monkeypatch.setattr(fit, "InMemory", lambda *args: built.append(len(args[0])) or build(*args))
    brief = ["--training.steps", "4", "--training.evaluations", "2", "--trials", "3", "--seeds", "2"]
    code, out, _ = said(capsys, "search", "coral", "--task", "moons/35", *brief)
    assert (code, built) == (0, [6, 6])
    assert "Search, moons/35" in out
    assert out.count("3 × 2") == 2 * 4  # both methods, by each of four rules
    code, table, _ = said(capsys, "table", "--of", "search", "--rule", "im", "--format", "json")
    (found,) = json.loads(table)
    assert code == 0
    assert [row["method"] for row in found["rows"]] == ["source_only"] * 4 + ["coral"] * 4
    assert said(capsys, "search", "coral", "--task", "moons/35", *brief)[1] == out


def test_a_table_of_searches_where_there_are_none(study, capsys):
    code, _, err = said(capsys, "table", "--of", "search", "--results", str(study / "results"))
    assert code == 2
    assert "`da-bench search`" in err
