"""Runs survive kills, full disks, damaged files and simultaneous starts (see tests/helpers/faults.py).

A short form is part of the normal tests. `make faults` runs the long form and writes results/benchmarks/faults.md.
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


def inject(counts, folder, *options):
    """Inject that many faults of each kind, in a process without threads, and return the counts of outcomes."""
    arguments = (f"{kind}={count}" for kind, count in counts.items())
    command = [sys.executable, "-m", "tests.helpers.faults", str(folder), *options, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def check(kind, count, outcomes):
    assert {name: outcomes[name] for name in NEVER if outcomes.get(name)} == {}
    if kind == "starts":
        assert outcomes["one winner"] == outcomes["records"] == outcomes["rounds"] == count
        assert set(outcomes) <= {"rounds", "one winner", "records", "left over", "crashed", "computed", *LOSERS}
    else:
        assert outcomes[{"kills": "kills", "full": "points"}[kind]] >= count


LOSERS = ("left to another", "found on record")


@pytest.fixture(scope="module")
def short_outcomes(tmp_path_factory):
    """Outcomes of all kinds from one process, which compares them with the same undisturbed runs."""
    return inject(SHORT, tmp_path_factory.mktemp("few"))


@pytest.mark.parametrize(("kind", "count"), SHORT.items(), ids=SHORT)
def test_runs_survive_a_few_faults(kind, count, short_outcomes):
    check(kind, count, short_outcomes[kind])


def state(step):
    generator = np.random.default_rng(step)
    shapes = {"carry/0": (2, 40), "carry/1": (2, 5, 4), "evaluations/0/0": (2, 30)}
    return Checkpoint(step, 1.5, {name: generator.normal(size=shape) for name, shape in shapes.items()}, "commit")


def count_damage(count, folder):
    """Flip a bit or cut off the end of a file of the newer checkpoint; count what `latest` returns."""
    store, generator = Checkpoints(folder, IDS, "data"), np.random.default_rng(0)
    for step in (1, 2):
        store.save(state(step))
    files = sorted(path for path in (store.own / "000000002").rglob("*") if path.is_file())
    outcomes = {"damaged": 0, "bits flipped": 0, "cut off": 0, "reported and older one used": 0, "wrong": 0}
    for number in range(count):
        path = files[number % len(files)]
        content, cut = path.read_bytes(), generator.random() < 0.3
        path.write_bytes(shorter(content, generator) if cut else flipped(content, generator))
        messages = []
        restored = store.latest(messages.append)
        path.write_bytes(content)
        is_correct = restored.step == 1 and len(messages) == 1 and same(restored, state(1))
        outcomes["damaged"] += 1
        outcomes["cut off" if cut else "bits flipped"] += 1
        outcomes["reported and older one used" if is_correct else "wrong"] += 1
    assert same(store.latest(print), state(2))
    return outcomes


def flipped(content, generator):
    at = int(generator.integers(len(content)))
    return content[:at] + bytes([content[at] ^ (1 << int(generator.integers(8)))]) + content[at + 1 :]


def shorter(content, generator):
    return content[: int(generator.integers(len(content)))]


def same(first, second):
    return first.arrays.keys() == second.arrays.keys() and all(
        np.array_equal(leaf, second.arrays[name]) for name, leaf in first.arrays.items()
    )


def test_damaged_checkpoints_are_never_used(tmp_path):
    outcomes = count_damage(40, tmp_path)
    assert (outcomes["reported and older one used"], outcomes["wrong"]) == (40, 0)


@pytest.mark.slow
def test_runs_survive_many_faults(tmp_path):
    """The report is written before the outcomes are checked."""
    counts, seconds = {}, {}
    for kind, count in LONG.items():
        start = time.monotonic()
        counts[kind] = inject({kind: count}, tmp_path, "all")[kind]
        seconds[kind] = time.monotonic() - start
        write(counts, seconds)
    start = time.monotonic()
    counts["damage"] = count_damage(DAMAGED, tmp_path / "damage")
    seconds["damage"] = time.monotonic() - start
    write(counts, seconds)
    for kind, count in LONG.items():
        check(kind, count, counts[kind])
    assert (counts["damage"]["reported and older one used"], counts["damage"]["wrong"]) == (DAMAGED, 0)


TITLES = {
    "kills": "SIGKILL at random moments, resumed until completed",
    "full": "A full disk at some point, then the same command",
    "starts": "Eight processes start the same run at once",
    "damage": "Damaged files of a checkpoint",
}


def write(counts, seconds):
    """Write the table to results/benchmarks/faults.md and print it."""
    facts = environment("", 0)
    commit = f"{facts['commit'] or 'unknown'}{' with changes' if facts['dirty'] else ''}"
    lines = [
        "# Fault injection",
        "",
        f"`make faults`, commit {commit}, {facts['platform']}, {facts['device']}.",
    ]
    lines += [
        "",
        "Runs of methods that need no batch normalisation. Rows that name a failure must be 0.",
        "",
    ]
    for kind, outcomes in counts.items():
        lines += [f"## {TITLES[kind]} ({seconds[kind]:.0f} s)", "", "| | count |", "|---|---|"]
        lines += [*(f"| {name} | {value} |" for name, value in outcomes.items()), ""]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
