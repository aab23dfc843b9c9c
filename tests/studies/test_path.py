"""A run passes through few functions from the command to its record, and resolves its data, network and id once."""

import sys
from pathlib import Path

import pytest

import da_bench as da
from da_bench import cli, models
from da_bench.studies import data as study_data
from da_bench.studies import experiment as experiment_module
from da_bench.training.in_memory import InMemory
from tests.helpers import tiny

PACKAGE = str(Path(da.__file__).parent)
SHORT_RUN = ("--seeds", "2", "--quiet", "--training.steps", "4", "--training.evaluations", "2")


def test_the_call_stack_from_the_command_to_the_program_is_short(tmp_path, monkeypatch):
    """`InMemory.advance` launches the compiled program. The stack from `main` to it stays short."""
    stacks, advance = [], InMemory.advance

    def traced(self, carry, step, until):
        frame, names = sys._getframe(1), ["InMemory.advance"]
        while frame:
            if frame.f_code.co_filename.startswith(PACKAGE):
                names.append(frame.f_code.co_qualname)
            frame = frame.f_back
        stacks.append(names)
        yield from advance(self, carry, step, until)

    monkeypatch.setattr(InMemory, "advance", traced)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)  # other tests have already used JAX
    assert cli.main(["run", "source_only", "--task", "moons/35", *SHORT_RUN, "--results", str(tmp_path)]) == 0
    assert len(stacks) == 2  # of both seeds together, one for each evaluation
    assert max(map(len, stacks)) <= 13, stacks[0]
    assert stacks[0][-1] == "main"


@pytest.fixture
def calls(monkeypatch):
    """Counts of calls that should happen once."""
    counts = dict.fromkeys(("load", "build", "canonical_json"), 0)

    def count(owner, name, function):
        def counted(*args, **options):
            counts[name] += 1
            return function(*args, **options)

        monkeypatch.setattr(owner, name, counted)

    count(study_data, "load", lambda name, root=None, view=None: tiny.task(name))
    count(models, "build", models.build)
    count(experiment_module, "canonical_json", experiment_module.canonical_json)
    return counts


def test_data_network_and_id_are_resolved_once(calls, tmp_path):
    """The data are loaded once; the network and the id are resolved once per seed."""
    options = da.Options(results=tmp_path, progress="none")
    results = da.run(da.methods.SourceOnly(), "moons/35", 2, options, training=tiny.TRAINING)
    assert [record.result["status"] for record in results.records] == ["ok", "ok"]
    assert calls == {"load": 1, "build": 2, "canonical_json": 2}


def test_methods_on_one_task_share_its_data(calls, tmp_path):
    options = da.Options(results=tmp_path, progress="none")
    methods = [da.methods.SourceOnly(), da.methods.Coral()]
    da.run(methods, "moons/35", 1, options, training=tiny.TRAINING, model=tiny.MODEL)
    assert calls["load"] == 1


def test_changing_a_config_does_not_change_its_experiment():
    experiment = da.Experiment(task="moons/35", method=da.methods.Dann(weight=0.5))
    first = experiment.config()
    first["method"]["weight"] = 7.0
    assert experiment.config()["method"]["weight"] == 0.5
