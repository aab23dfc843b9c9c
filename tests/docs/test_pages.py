"""The README and the pages under docs/ are true: links, anchors, commands, code, tables and counts."""

import contextlib
import itertools
import re
import shlex
import tomllib
import types
from pathlib import Path

import jax.numpy as jnp
import pytest

from da_bench.cli import leaderboard, new_method, plot, rank, reproduce, run, search, submit, table
from da_bench.cli import list as list_command
from da_bench.cli.check import Check
from da_bench.cli.data import COMMANDS as DATA
from da_bench.cli.main import COMMANDS, main
from da_bench.cli.parse import Words, read
from da_bench.cli.weights import COMMANDS as WEIGHTS
from da_bench.core.types import Output
from da_bench.data import tasks
from da_bench.data.family import FAMILIES
from da_bench.evaluation.validators import VALIDATORS
from da_bench.methods import METHODS, Method, load_plugins
from da_bench.models import MODELS

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
GUIDES = [page for page in PAGES if page.name not in ("CHANGELOG.md", "add_your_method.md")]  # the latter has its own
OPTIONS = {
    "search": search.Search,
    "table": table.Table,
    "plot": plot.Plot,
    "reproduce": reproduce.Reproduce,
    "list": list_command.List,
    "check": Check,
    "new-method": new_method.NewMethod,
    "rank": rank.Rank,
}
GROUPS = {
    "data": DATA,
    "weights": WEIGHTS,
    "submit": {"pack": submit.Pack, "check": submit.Check},
    "leaderboard": {"build": leaderboard.Build},
}
QUICK = (
    "da-bench list methods",
    "da-bench list tasks",
    "da-bench list models",
    "da-bench list validators --json",
    "da-bench data list",
    "da-bench data about office31",
    "da-bench weights sources --arch resnet50",
    "da-bench reproduce",
    "da-bench table --results results/quickstart --format latex",
    "da-bench table --of selection --results results/office31 --also results/office_caltech10",
)


def anchors(page):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def commands(page):
    """Commands in the indented blocks of a page, without prompts, variables and comments."""
    lines = re.findall(r"^ {4}(?:\S+=\S+ |srun )*(da-bench .*)$", page.read_text(), re.MULTILINE)
    return [re.split(r"\s{2,}#", line)[0].strip() for line in lines]


def targets(words):
    """Targets of make that a page names."""
    return re.findall(r"`make ([\w-]+)`|^ {4}make ([\w-]+)", words, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        path = (page.parent / link) if link else page
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), f"{link}#{anchor}"


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "index.md").read_text()
    assert all(f"({page.name})" in index for page in (ROOT / "docs").glob("*.md") if page.name != "index.md")


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_has_every_target_that_is_named(page):
    made = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {first or second for first, second in targets(page.read_text())} <= made


def test_there_are_commands():
    assert sum(len(commands(page)) for page in GUIDES) > 50


@pytest.mark.parametrize(("page", "line"), [(page.name, line) for page in GUIDES for line in commands(page)])
def test_every_command_parses(page, line):
    """By the parser of its options alone; a task that is not a placeholder exists."""
    _, name, *words = shlex.split(line)
    assert name in COMMANDS
    if name in GROUPS:
        read(GROUPS[name][words[0]], Words(f"da-bench {name}", words[1:]))
        return
    if name == "run":
        load_plugins()
        command = run.RunFile if words[0].endswith((".py", ".json")) else run.method_command(METHODS[words[0]])
        options = read(command, Words(f"da-bench run {words[0]}", words[1:]))
        if words[0].startswith("experiments/"):
            assert (ROOT / words[0]).is_file()
        if command is not run.RunFile and not options.task.startswith("my_folder"):
            tasks.spec(options.task)
        return
    positional = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    if name in ("search", "reproduce"):  # names come first
        assert all(word in METHODS or (ROOT / "experiments" / f"{word}.py").is_file() for word in positional)
        words = words[len(positional) :]
    read(OPTIONS[name], Words(f"da-bench {name}", words))


@pytest.mark.parametrize("line", QUICK)
def test_quick_commands_run(line, monkeypatch, capsys):
    assert any(line in commands(page) for page in GUIDES)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("da_bench.cli.devices.set_up", lambda *_: None)
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def test_extras_that_are_named_exist():
    extras = set(PYPROJECT["project"]["optional-dependencies"])
    texts = [path.read_text() for path in (*PAGES, *(ROOT / "da_bench").rglob("*.py"))]
    named = {extra for text in texts for extra in re.findall(r"da-bench\[(\w+)\]", text)}
    assert {"opt", "ot", "ray"} < named <= extras


def test_contributing_lists_the_layers_of_the_import_contract():
    (contract,) = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = [name for layer in reversed(contract["layers"]) for name in layer.split(" | ") if name != "__main__"]
    listed = (ROOT / "CONTRIBUTING.md").read_text().split("`make lint` checks it:")[1].split(".")[0]
    assert re.findall(r"\w+", listed) == layers


def section(text, title):
    """The table under "### title" and the notes below it."""
    return text.split(f"### {title}\n", 1)[1].split("\n### ", 1)[0].strip().splitlines()


def test_the_table_of_the_readme_is_that_of_the_committed_snapshot():
    shown = re.search(r"<!-- results:.*?-->\n(.*?)<!-- /results -->", README.read_text(), re.DOTALL).group(1)
    written = (ROOT / "results" / "quickstart" / "tables.md").read_text()
    (title,) = re.findall(r"^### (.*)$", shown, re.MULTILINE)
    lines, snapshot = section(shown, title), section(written, title)
    assert [line for line in lines if line not in snapshot] == []
    assert [line for line in snapshot if line.startswith(("|", "- command")) and line not in lines] == []
    assert len(lines) > 8


def test_every_method_network_and_family_is_on_its_page():
    page = (ROOT / "docs" / "methods.md").read_text()
    load_plugins()
    assert all(f"`{name}`" in page for name in (*METHODS, *MODELS, *FAMILIES))


def test_counts_in_the_readme_are_those_of_the_registries():
    load_plugins()
    references = {"source_only", "staged_fine_tuning", "logistic_regression", "nearest_neighbour", "svm", "pca"}
    deep = {name for name, cls in METHODS.items() if issubclass(cls, Method)} - references
    classical = set(METHODS) - deep - references
    text = README.read_text()
    assert f"**{len(deep)} deep methods**" in text
    assert f"**{len(classical)} classical ones**" in text
    assert f"{len(VALIDATORS)} criteria" in text


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@contextlib.contextmanager
def registry():
    """Methods that the block registers are removed after it."""
    before = dict(METHODS._entries)
    try:
        yield
    finally:
        METHODS._entries.clear()
        METHODS._entries.update(before)


def test_the_method_of_the_readme_is_one():
    with registry():
        namespace = {}
        exec(blocks(README)[1], namespace)
        source, target = (Output(jnp.full((4, 3), value), jnp.zeros((4, 2))) for value in (0.0, 2.0))
        context = types.SimpleNamespace(source=source, target=target)
        assert namespace["MeanGap"](weight=0.5).loss(context) == 0.5 * 3 * 4


@pytest.mark.artefacts
@pytest.mark.parametrize("page", ["README.md", "docs/getting_started.md", "docs/search.md"])
def test_python_that_is_shown_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for code in blocks(ROOT / page):
        if "@register" not in code:
            exec(code.replace("steps=400", "steps=100").replace('"digits/synthetic-to-real"', '"moons/35"'), {})
    assert "dann" in capsys.readouterr().out or page == "docs/search.md"
