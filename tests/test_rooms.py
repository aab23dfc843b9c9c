"""The layout: a room imports only rooms to its left, and every test mirrors a file."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "da_bench"
ORDER = [
    {"settings", "version", "disk", "progress", "stopping"},
    {"locks", "checkpoints", "strict", "spaces"},
    {"types"},
    {"view", "processes"},
    {"losses"},
    {"models", "data"},
    {"weights"},
    {"methods"},
    {"train"},
    {"features"},
    {"msda"},
    {"engine", "resident", "stream"},
    {"evaluate"},
    {"transferability"},
    {"select"},
    {"experiment", "reverse"},
    {"records"},
    {"archive"},
    {"judge"},
    {"report", "isolate", "job"},
    {"cluster", "rank"},
    {"apart"},
    {"execute"},
    {"look", "reproduce", "search"},
    {"conformance"},
    {"submit"},
    {"leaderboard"},
    {"child"},
    {"cli_data", "cli_check", "cli_new", "cli_rank", "cli_weights", "cli_submit", "cli_leaderboard"},
    {"cli"},
    {"__main__"},
]
PLACE = {room: place for place, rooms in enumerate(ORDER) for room in rooms}
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module == "da_bench":
            modules = [f"da_bench.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        yield from (module.split(".")[1] for module in modules if module.startswith("da_bench."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_to_its_left(path):
    room = room_of(path)
    for other in imported_rooms(path):
        assert other == room or PLACE[other] < PLACE[room], f"{room} imports {other}"


def test_every_room_has_its_place():
    assert {room_of(path) for path in FILES} == set(PLACE)


def test_the_package_never_imports_the_baselines():
    assert not any(re.search(r"^\s*(from|import) baselines", path.read_text(), re.M) for path in FILES)


def test_training_cannot_reach_what_sees_target_labels():
    trained = ("methods", "train", "engine", "resident", "stream", "losses", "models")
    for path in FILES:
        if room_of(path) in trained:
            assert not {"evaluate", "judge", "apart", "execute"} & set(imported_rooms(path))


@pytest.mark.parametrize("word", ["pickle", "allow_pickle=True", "urllib", "requests", "PRNGKey", "eval(", "exec("])
def test_words_that_have_no_place_in_the_package(word):
    """No pickle, no network, no untyped key, no code from files."""
    pattern = re.compile(rf"(?<![\w.]){re.escape(word)}")
    found = [path for path in FILES if pattern.search(re.sub(r"allow_pickle=False", "", path.read_text()))]
    assert not found
