"""The command as a whole: quick help, exit codes, and one line for every mistake."""

import os
import resource
import subprocess
import sys

import pytest

from da_bench.cli.main import COMMANDS


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
def test_a_closed_pipe_is_no_fault(words):
    command = [sys.executable, "-m", "da_bench", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, b"")


def test_help_imports_nothing_heavy():
    script = "import sys; from da_bench.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert {"jax", "flax", "numpy", "pydantic", "wandb", "matplotlib"}.isdisjoint(done.stderr.split())
    assert "da-bench COMMAND" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, command):
    code, out, _ = command(name, "--help")
    assert code == 0
    assert len(out) > 100


@pytest.mark.parametrize(
    ("words", "message"),
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
        (["run", "dann", "--task", "moons/35", "--training.batch-size", "301"], "at most 300"),
        (["run", "dann", "--task", "moons/35", "--model", "lenet"], "moons/35"),
        (["run", "tent", "--task", "moons/35"], "Tent"),
        (["run", "gone.py"], "no such file: gone.py"),
        (["run", "gone.json"], "no such file: gone.json"),
        (["table", "--results", "nowhere"], "no records in nowhere/runs"),
        (["table", "--rule", "lats"], "unknown rule 'lats'; did you mean 'last'?"),
        (["table", "--others", "sdn"], "unknown rule 'sdn'; did you mean 'snd'?"),
        (["run", "dann", "--task", "moons/35", "--rule", "orcale"], "did you mean 'oracle'?"),
        (["list", "mehtods"], "did you mean 'methods'?"),
        (["search", "dannn", "--task", "moons/35"], "unknown method 'dannn'; did you mean 'dann'?"),
        (["search", "dann", "--task", "moons/35", "--trials", "0"], "trials = 0"),
        (["search", "dann", "--task", "moons/35", "--seeds", "0"], "seeds = 0"),
        (["search", "dann", "--task", "moons/35", "--rule", "imm"], "unknown rule 'imm'; did you mean 'im'?"),
        (["search", "logistic_regression", "--task", "moons/35"], "logistic_regression"),
        (["search", "dann", "--task", "moons/35", "--learning-rates", "0.1", "0.01"], "low=0.1, high=0.01"),
        (["search", "dann", "--task", "moons/35", "--learning-rates", "0.1", "1.0"], "training.learning_rate = 0.01"),
        (["search", "dann", "--task", "moons/35", "--sampler", "tpe"], "--sampler tpe needs --storage FILE"),
        (
            ["search", "dann", "--task", "moons/35", "--sampler", "tpe", "--storage", "s.log", "--rule", "oracle"],
            "oracle",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(words, message, command, tmp_path):
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("da-bench: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_installed_command_runs():
    """The script itself, as a shell finds it."""
    command = os.path.join(os.path.dirname(sys.executable), "da-bench")
    done = subprocess.run([command, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "0.1.0"
