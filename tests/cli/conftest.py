"""Commands run in this process, in an empty folder, with the devices that the tests have already set up."""

import pytest

from da_bench.cli import main

FILE = """
import da_bench as da
from baselines import target_only
from da_bench.classical import LogisticRegression

TRAINING = da.Training(steps=10, evaluations=2, batch_size=16)
methods = [da.methods.SourceOnly(), da.methods.Dann(widths=(4,))]
runs = [da.Experiment(task="moons/35", method=method, training=TRAINING) for method in methods]
classical = da.Experiment(task="moons/35", method=LogisticRegression())
EXPERIMENTS = [*da.over_seeds([*runs, target_only(runs[0])], 2), classical]
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)


@pytest.fixture
def command(capsys):
    """Runs a command and returns its exit code, standard output and standard error."""

    def run(*words):
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A folder with small.py, a file of seven experiments, and its results."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.py").write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("da_bench.cli.devices.set_up", lambda *_: None)
        assert main(["run", str(folder / "small.py"), "--results", str(folder / "results")]) == 0
    return folder
