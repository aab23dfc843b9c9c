"""The pages under docs/ are true: what they show is what there is, and what they say runs."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from da_bench.cli import main
from da_bench.methods import METHODS
from da_bench.testing import CHECKS, check_method, checks_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_your_method.md").read_text()
METHOD, PYTEST, OWN_STEP = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(TOML,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it, and the tests' own devices stay."""
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    monkeypatch.setattr(jax.config, "update", lambda *_: None)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_an_experiment_says_what_it_asks_how_it_is_made_and_what_to_expect(path):
    text = path.read_text()
    said = ast.get_docstring(ast.parse(text))
    assert said.partition("\n")[0].endswith("?")
    assert "Command: `" in said
    assert "xpect" in said
    assert "Cost: " in said or '    cost="' in text or "minutes" in said
    assert "Protocol: " in said or '    protocol="' in text


def test_the_method_shown_is_the_one_written(tmp_path, capsys, registry):
    assert main(["new-method", "MeanGap", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "mean_gap.py").read_text() == METHOD


def test_the_checks_named_are_checks():
    slips = PAGE.split("| mistake | check |")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+_\w+_\w+)`", slips))
    assert len(named) > 5
    assert named <= set(CHECKS)


def test_the_pytest_form_has_a_test_a_check(tmp_path, monkeypatch, registry):
    (tmp_path / "mean_gap.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {}
    exec(PYTEST, namespace)
    (mark,) = namespace["test_mean_gap"].pytestmark
    assert len(mark.args[1]) == len(checks_for(namespace["MeanGap"])) > 20


@pytest.mark.conformance
def test_the_step_shown_passes_every_check(registry):
    """The page's method with a step of its own, which names no paper."""
    namespace = {}
    exec(OWN_STEP, namespace)
    results = check_method(namespace["TeacherLabels"], show=False)
    assert {result.check: result.outcome for result in results}["gains_on_moved_domains"] == "known_failure"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder in which the package of the page is installed, as pip would leave it."""
    site = tmp_path_factory.mktemp("site")
    (site / "my_adaptation").mkdir()
    (site / "my_adaptation" / "__init__.py").write_text("from my_adaptation import mean_gap\n")
    (site / "my_adaptation" / "mean_gap.py").write_text(METHOD.split("\n\nEXPERIMENTS")[0])
    info = site / "my_adaptation-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-adaptation\nVersion: 0.1\n")
    declared = TOML.split("[project.entry-points.", 1)[1]
    group, entry = declared.replace('"', "").split("]\n", 1)
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry}")
    return site


@pytest.mark.processes
def test_a_package_of_ones_own_is_on_the_command_line(installed, tmp_path):
    command = [sys.executable, "-m", "da_bench", "run", "mean_gap", "--task", "moons/35", "--weight", "0.5"]
    brief = ["--seeds", "1", "--training.steps", "4", "--training.evaluations", "2", "--json"]
    path = os.pathsep.join([str(installed), str(ROOT)])
    done = subprocess.run(
        [*command, *brief],
        env={**os.environ, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (record,) = json.loads(done.stdout.splitlines()[-1])["records"]
    config = json.loads((tmp_path / "results" / "runs" / record["id"] / "config.json").read_text())
    assert config["method"] == {"name": "mean_gap", "weight": 0.5}
    assert record["status"] == "ok"
