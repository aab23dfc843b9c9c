"""What the linters forbid inside the package: pickles, downloads, untyped keys, and code from text."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import pickle", "TID251"),
        ("from pickle import loads", "TID251"),
        ("import requests", "TID251"),
        ("from urllib.request import urlopen", "TID251"),
        ("import http.client", "TID251"),
        ("import jax\n\nkey = jax.random.PRNGKey(0)", "TID251"),
        ('eval("1")', "S307"),
        ('exec("1")', "S102"),
    ],
)
def test_the_linter_refuses_what_is_forbidden(code, rule):
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "da_bench/planted.py", "-"]
    text = f'"""A planted fault."""\n\n{code}\n'
    done = subprocess.run(command, check=False, cwd=ROOT, input=text, capture_output=True, text=True)
    assert done.returncode == 1
    assert rule in done.stdout


def test_no_array_file_is_read_as_a_pickle():
    for path in (ROOT / "da_bench").rglob("*.py"):
        text = path.read_text()
        assert "allow_pickle=True" not in text, path
        assert len(re.findall(r"np\.load\(", text)) == len(re.findall(r"np\.load\(.*allow_pickle=False", text)), path
