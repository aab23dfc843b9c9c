"""The wheel: what it holds, and that it works outside a checkout."""

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


def test_it_installs_one_name_with_types_recipes_and_every_file_that_the_code_reads(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"da_bench"}
    assert "da_bench/py.typed" in names
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    inside = {f"da_bench/{path}" for path in tracked if path.startswith(("baselines/", "experiments/"))}
    inside |= {path for path in tracked if path.startswith("da_bench/")}
    assert len(inside) > 200
    assert inside <= names


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs the installed command in an empty folder, with the packages of this environment but not its da_bench."""
    folder = tmp_path_factory.mktemp("outside")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.strip())
    (packages / "packages.pth").write_text("\n".join(site.getsitepackages()))
    zipfile.ZipFile(wheel).extractall(packages)  # before this environment on the path
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DA_BENCH_DATA")}

    def run(*words):
        command = [python, *words]
        return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)

    assert str(packages) in run("-c", "import da_bench; print(da_bench.__path__)").stdout
    return run


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["--help"], "reproduce"),
        (["list", "methods"], "shallow_coral"),
        (["run", "dann", "--task", "moons/35", "--seeds", "1", "--training.steps", "20"], "1 record in results/runs"),
        (["reproduce"], "jmlr_moons"),
        (["leaderboard", "build", "--out", "site"], "site/index.html"),
    ],
    ids=["help", "list", "run", "reproduce", "leaderboard"],
)
def test_it_works_outside_a_checkout(installed, words, holds):
    done = installed("-m", "da_bench", *words)
    assert done.returncode == 0, done.stderr
    assert holds in done.stdout
