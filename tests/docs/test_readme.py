"""The README is true: its table is the one `make bench` wrote, its code runs, its links lead somewhere."""

import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from da_bench.core.types import Output
from da_bench.methods import METHODS
from tests.helpers.method_inputs import loss_context

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def section(text, title):
    """The table under "### title" and the notes below it."""
    return text.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0].strip()


def test_the_results_are_those_of_make_bench():
    shown = re.search(r"<!-- results:.*?-->\n(.*?)<!-- /results -->", README, re.DOTALL).group(1)
    written = (ROOT / "results" / "quickstart" / "tables.md").read_text()
    for title in re.findall(r"^### (.*)$", shown, re.MULTILINE):
        ours, theirs = section(shown, title).splitlines(), section(written, title).splitlines()
        assert ours
        assert [line for line in ours if line not in theirs] == []
        assert [line for line in theirs if line.startswith("|") and line not in ours] == []
    assert "commit" in shown


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_method_is_in_the_readme():
    assert all(f"`{name}`" in README for name in METHODS)


def test_the_method_of_the_readme_is_one():
    before = set(METHODS)
    try:
        namespace = {}
        exec(BLOCKS[1], namespace)
        source, target = (Output(jnp.full((4, 3), value), jnp.zeros((4, 2))) for value in (0.0, 2.0))
        method = namespace["MeanGap"](weight=0.5)
        assert method.loss(loss_context(source, target)) == 0.5 * 3 * 4
    finally:
        for name in set(METHODS) - before:
            METHODS._things.pop(name)


@pytest.mark.slow
def test_the_ten_lines_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[0], {})
    assert "dann (weight=0.3)" in capsys.readouterr().out
    assert (tmp_path / "results" / "my-study" / "tables.md").is_file()
