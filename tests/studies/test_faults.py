"""What the suite promises of kills, full disks, damaged files and simultaneous starts, tried (see faults.py).

A short form is one of the normal tests; `make faults` runs the long one and writes results/benchmarks/faults.md.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from da_bench.studies.provenance import environment
from da_bench.training.checkpoints import Checkpoint, Checkpoints

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "results" / "benchmarks" / "faults.md"
IDS = ["aa", "bb"]
NEVER = ("lost", "twice", "different", "left over", "unexpected", "half-written", "not completed", "unclear", "crashed")
SHORT = {"kills": 4, "full": 4, "starts": 1}
LONG = {"kills": 200, "starts": 100, "full": 50}
DAMAGED = 1000


def tried(counts, folder, *which):
    """What came of so many faults of each kind, in a process that has no threads."""
    asked = (f"{what}={count}" for what, count in counts.items())
    command = [sys.executable, "-m", "tests.helpers.faults", str(folder), *which, *asked]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(what, count, found):
    assert {name: found[name] for name in NEVER if found.get(name)} == {}
    if what == "starts":
        assert found["one winner"] == found["records"] == found["rounds"] == count
        assert set(found) <= {"rounds", "one winner", "records", "left over", "crashed", "made", *LOSERS}
    else:
        assert found[{"kills": "kills", "full": "points"}[what]] >= count


LOSERS = ("left to another", "found on record")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """One process for all kinds: they are held against the same undisturbed runs."""
    return tried(SHORT, tmp_path_factory.mktemp("few"))


@pytest.mark.parametrize(("what", "count"), SHORT.items(), ids=SHORT)
def test_a_few(what, count, few):
    check(what, count, few[what])


def state(step):
    generator = np.random.default_rng(step)
    shapes = {"carry/0": (2, 40), "carry/1": (2, 5, 4), "look/0/0": (2, 30)}
    return Checkpoint(step, 1.5, {name: generator.normal(size=shape) for name, shape in shapes.items()}, "commit")


def damaged(count, folder):
    """One bit flipped or an end cut off, anywhere in the newer of two checkpoints: what comes back each time."""
    store, generator = Checkpoints(folder, IDS, "data"), np.random.default_rng(0)
    for step in (1, 2):
        store.save(state(step))
    files = sorted(path for path in (store.own / "000000002").rglob("*") if path.is_file())
    found = {"damaged": 0, "bits flipped": 0, "cut off": 0, "said and older one used": 0, "wrong": 0}
    for number in range(count):
        path = files[number % len(files)]
        content, cut = path.read_bytes(), generator.random() < 0.3
        path.write_bytes(shorter(content, generator) if cut else flipped(content, generator))
        said = []
        back = store.latest(said.append)
        path.write_bytes(content)
        right = back.step == 1 and len(said) == 1 and same(back, state(1))
        found["damaged"] += 1
        found["cut off" if cut else "bits flipped"] += 1
        found["said and older one used" if right else "wrong"] += 1
    assert same(store.latest(print), state(2))
    return found


def flipped(content, generator):
    at = int(generator.integers(len(content)))
    return content[:at] + bytes([content[at] ^ (1 << int(generator.integers(8)))]) + content[at + 1 :]


def shorter(content, generator):
    return content[: int(generator.integers(len(content)))]


def same(one, other):
    return one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(leaf, other.arrays[name]) for name, leaf in one.arrays.items()
    )


def test_damaged_checkpoints_are_never_used(tmp_path):
    found = damaged(40, tmp_path)
    assert (found["said and older one used"], found["wrong"]) == (40, 0)


@pytest.mark.slow
def test_many(tmp_path):
    """And the report of it, whatever it says."""
    counts, seconds = {}, {}
    for what, count in LONG.items():
        begun = time.monotonic()
        counts[what] = tried({what: count}, tmp_path, "all")[what]
        seconds[what] = time.monotonic() - begun
        write(counts, seconds)
    begun = time.monotonic()
    counts["damage"] = damaged(DAMAGED, tmp_path / "damage")
    seconds["damage"] = time.monotonic() - begun
    write(counts, seconds)
    for what, count in LONG.items():
        check(what, count, counts[what])
    assert (counts["damage"]["said and older one used"], counts["damage"]["wrong"]) == (DAMAGED, 0)


TITLES = {
    "kills": "SIGKILL at random moments, resumed until done",
    "full": "No room at some point, then the same command",
    "starts": "Eight processes start the same run at once",
    "damage": "Damaged files of a checkpoint",
}


def write(counts, seconds):
    """The table, printed and in results/benchmarks/faults.md."""
    made = environment("", 0)
    commit = f"{made['commit'] or 'unknown'}{' with changes' if made['dirty'] else ''}"
    lines = ["# Faults, made on purpose", "", f"`make faults`, commit {commit}, {made['platform']}, {made['device']}."]
    lines += [
        "",
        "Every method that needs no batch normalisation; `0` where nothing else is said is what is promised.",
        "",
    ]
    for what, found in counts.items():
        lines += [f"## {TITLES[what]} ({seconds[what]:.0f} s)", "", "| | count |", "|---|---|"]
        lines += [*(f"| {name} | {value} |" for name, value in found.items()), ""]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
