"""What is committed in results/ is small, and the commands of the Makefile write to ignored paths."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGEST = 8_000_000  # bytes of all committed results
pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout")


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tracked():
    return [ROOT / name for name in run("git", "ls-files", "results").stdout.splitlines()]


def test_committed_results_are_small():
    assert sum(path.stat().st_size for path in tracked() if path.is_file()) < LARGEST


def test_nothing_that_an_archive_can_remake_is_committed():
    names = [path.relative_to(ROOT / "results").as_posix() for path in tracked()]
    assert [name for name in names if re.search(r"\.svg$|/tables\.(csv|tex|json)$|^leaderboard/|^runs/", name)] == []


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
@pytest.mark.parametrize(("target", "option"), [("bench", "--results"), ("site", "--out")])
def test_the_target_writes_to_an_ignored_path(target, option):
    """`make bench` once changed results/quickstart, and then a test of the README failed."""
    commands = run("make", "--dry-run", target).stdout
    (command,) = (line for line in commands.splitlines() if "da-bench" in line)
    path = command.split(f"{option} ")[1].split()[0]
    assert run("git", "check-ignore", f"{path}/runs").returncode == 0, path
