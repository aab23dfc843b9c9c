"""How fast is a step here, and in PyTorch, pytorch-adapt and skada? All of them side by side, in one interleaved run.

Command: `make benchmark`, or `python benchmarks/engine.py --peers PYTHON` with the interpreter that has the peers of
`benchmarks/peers.txt`; `--quick` for a minute's try. One process a contestant, one of them at work at a time, in
rotating order, each with all cores; medians over the rounds. Writes engine.md, engine.json and engine.png.

Read the ratios. A machine on which others work slows the contestants down unequally: threads that wait for each other
at every operation, as PyTorch's do, lose most. What others used of the machine meanwhile is in the result.
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from engine_report import write
from workloads import METHODS, NETWORKS, WORKLOADS

HERE = Path(__file__).parent
PEERS = ("torch", "compile", "pytorch-adapt", "skada")
TRANSPORTERS = ("torch", "compile", "POT")  # who has Sinkhorn's loss
QUIET, PATIENCE = 0.1, 60  # share of the machine that others may use at the start; seconds to wait for it
SEEDS = (2, 5, 10, 20)  # one seed is its own measure
SIZES = {  # of each sample, and its dimensions
    "coral": ((32, 256), (64, 500), (512, 2048), (5000, 2048)),
    "mmd": ((32, 256), (64, 500), (512, 2048), (2000, 256)),
    "sinkhorn": ((32, 256), (64, 500), (512, 2048), (2000, 256)),
}
STUDY = """import da_bench as da

METHODS = (da.methods.SourceOnly(), da.methods.Dann(widths=(100,)), da.methods.Coral(), da.methods.Mmd())
TRAINING = da.Training(steps=800)
RUNS = [da.Experiment(task="digits/synthetic-to-real", method=one, training=TRAINING) for one in METHODS]
EXPERIMENTS = da.over_seeds(RUNS, 5)
"""
TINY = """import da_bench as da

ONCE = da.Training(steps=1, evaluations=1)
EXPERIMENTS = [da.Experiment(task="moons/35", method=da.methods.Dann(), training=ONCE)]
"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is timed: a question for every contestant that is named; name: of the section, workload and so on."""

    name: tuple[str, ...]
    questions: dict[str, dict[str, Any]]


class Contestant:
    """A process that answers one question after another."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self.asked = 0
        self.log = (folder / f"{command[-1].strip('-')}.log").open("w")
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": self.log,
            "text": True,
            "start_new_session": True,
        }
        self.process = subprocess.Popen(command, **pipes)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; {"absent": why} where there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.asked += 1
            print(json.dumps({**question, "number": self.asked}), file=self.process.stdin, flush=True)
            for line in self.process.stdout:  # an answer to a question that was given up may come first
                if (answer := json.loads(line)).pop("number") == self.asked:
                    return answer
        except BrokenPipeError:
            pass
        return {"absent": "its process ended, " + self._last_words()}

    def _last_words(self) -> str:
        lines = Path(self.log.name).read_text().strip().splitlines()
        return lines[-1] if lines else "without a word"


def contestants(peers: str | None, folder: Path) -> dict[str, Contestant]:
    """All processes: ours with one device and with one a core, and the peers."""
    ours = [sys.executable, str(HERE / "ours.py"), "--devices"]
    commands = {"ours": [*ours, "1"], "ours, a core each": [*ours, str(cores())]}
    if peers:
        commands |= {name: [peers, "-W", "ignore", str(HERE / "peers.py"), name] for name in (*PEERS, "POT")}
    return {name: Contestant(command, folder) for name, command in commands.items()}


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def steps(quick: bool) -> Iterator[Cell]:
    """W1 and W2: steps of every method."""
    for workload in reversed(WORKLOADS):  # the quicker one first
        for method in METHODS:
            made = max(5, WORKLOADS[workload].steps[method] // (3 if quick else 1))
            question = {"ask": "steps", "workload": workload, "method": method, "steps": made}
            yield Cell(("steps", workload, method), dict.fromkeys(("ours", *PEERS), question))


def seeds(quick: bool) -> Iterator[Cell]:
    """W3: seeds together, and one after another."""
    for workload in WORKLOADS:
        for method, made in WORKLOADS[workload].seeds_steps.items():
            for count in (10,) if quick else SEEDS:
                question = {"ask": "seeds", "workload": workload, "method": method, "steps": made, "seeds": count}
                ways = {
                    "alone": {**question, "seeds": 1, "placement": "map"},
                    "map": {**question, "placement": "map"},
                    "vmap": {**question, "placement": "vmap"},
                    "a core each, map": {**question, "placement": "map"},
                    "a core each, vmap": {**question, "placement": "vmap"},
                }
                yield Cell(("seeds", workload, method, str(count)), ways)


def images(quick: bool) -> Iterator[Cell]:
    """W4: networks for images of 224 pixels, batches of 16."""
    for network in NETWORKS:
        for part in ("predict", "train"):
            question = {"ask": "pictures", "network": network, "part": part, "steps": 2 if quick else 4}
            yield Cell(("pictures", network, part), dict.fromkeys(("ours", "torch"), question))


def losses(quick: bool) -> Iterator[Cell]:
    """W6: each loss alone."""
    for loss, sizes in SIZES.items():
        for n, d in sizes[: 2 if quick else None]:
            repeats = max(1, int(2e9 / (n * d * min(4 * n, d) + 16 * n * n * d)))
            question = {"ask": "loss", "loss": loss, "n": n, "d": d, "repeats": min(repeats, 100)}
            peers = TRANSPORTERS if loss == "sinkhorn" else PEERS
            yield Cell(("loss", loss, str(n), str(d)), dict.fromkeys(("ours", *peers), question))


def worker(way: str) -> str:
    """Whose process answers for a contestant or placement."""
    if way.startswith("a core each"):
        return "ours, a core each"
    return "ours" if way in ("alone", "map", "vmap") else way


def measure(cell: Cell, everyone: dict[str, Contestant], rounds: int) -> dict[str, Any]:
    """Seconds of each round by contestant, after one round to warm up; why, of those that are absent."""
    seconds: dict[str, list[float]] = {}
    absent = {}
    for name, question in cell.questions.items():
        said = everyone[worker(name)].ask(question) if worker(name) in everyone else {"absent": "no --peers"}
        absent |= {name: said["absent"]} if "absent" in said else {}
    present = [name for name in cell.questions if name not in absent]
    for turn in range(rounds):
        for name in present[turn % len(present) :] + present[: turn % len(present)]:
            seconds.setdefault(name, []).append(everyone[worker(name)].ask(cell.questions[name])["seconds"])
    return {"cell": cell.name, "questions": cell.questions, "seconds": seconds, "absent": absent}


def start_up(program: str) -> dict[str, dict[str, float]]:
    """W5: seconds of a command, and of its compiling and running; cache of programs fresh, then warm."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "study.py"
        file.write_text(program)
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        return {kind: _command(file, Path(folder) / kind, environment) for kind in ("cold", "cached")}


def _command(file: Path, results: Path, environment: dict[str, str]) -> dict[str, float]:
    start = time.perf_counter()
    command = [sys.executable, "-m", "da_bench", "run", str(file), "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    whole = time.perf_counter() - start
    spent = [json.loads(path.read_text())["seconds"] for path in results.glob("runs/*/result.json")]
    return {
        "command": whole,
        **{part: sum(one[part] / one["together"] for one in spent) for part in ("compile", "run")},
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.processor(), "cores": cores(), "system": platform.platform()}


def commit() -> str:
    """Of this source, "-changed" where files differ from it."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty=-changed", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def others_use(seconds: float, busy: Callable[[], float]) -> float:
    """Share of the machine in use while this process sleeps."""
    before = busy()
    time.sleep(seconds)
    return (busy() - before) / seconds / cores()


def busy() -> float:
    """Seconds that all cores have worked since the machine started; 0 where Linux does not tell."""
    if not Path("/proc/stat").exists():
        return 0.0
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def own(processes: Iterable[Contestant]) -> float:
    """Seconds of the cores that the contestants, and this process with what it started, have used."""
    ticks = 0
    for each in processes:
        fields = Path(f"/proc/{each.process.pid}/stat")
        ticks += sum(map(int, fields.read_text().rpartition(")")[2].split()[11:13])) if fields.exists() else 0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(os.times()[:4])


def wait_for_quiet() -> None:
    """Until others use next to nothing, or patience ends."""
    end = time.monotonic() + PATIENCE
    while (use := others_use(2, busy)) > QUIET and time.monotonic() < end:
        print(f"others use {use:.0%} of the machine; waiting", file=sys.stderr)


def run(sections: list[Cell], everyone: dict[str, Contestant], rounds: int) -> tuple[list[dict[str, Any]], float]:
    """Every cell measured, and the share of the machine that others used meanwhile."""
    start, before = time.perf_counter(), busy() - own(everyone.values())
    made = []
    try:
        for cell in sections:
            made.append(measure(cell, everyone, rounds))
            print(" ".join(cell.name), {k: f"{min(v):.3g}" for k, v in made[-1]["seconds"].items()}, file=sys.stderr)
    except KeyboardInterrupt:
        print(f"stopped after {len(made)} of {len(sections)} measurements", file=sys.stderr)
    return made, (busy() - own(everyone.values()) - before) / (time.perf_counter() - start) / cores()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", help="interpreter that has the peers")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", nargs="*", default=["steps", "seeds", "pictures", "loss", "start"])
    parser.add_argument("--results", type=Path, default=HERE.parent / "results" / "benchmarks")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not asked.quick:
            wait_for_quiet()
        given = sys.argv[1:]
        if "--results" in given:  # where it is written is no part of what is measured
            at = given.index("--results")
            given = given[:at] + given[at + 2 :]
        result = {"command": shlex.join(["python", "benchmarks/engine.py", *given]), "commit": commit()}
        write({**result, **contest(asked, Path(folder))}, asked.results)


def contest(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All that is measured."""
    parts = {"steps": steps, "seeds": seeds, "pictures": images, "loss": losses}
    sections = [cell for name, part in parts.items() if name in asked.only for cell in part(asked.quick)]
    everyone = contestants(asked.peers, folder)
    try:
        about = {name: one.ask({"ask": "about"}) for name, one in everyone.items()}
        cells, others = run(sections, everyone, asked.rounds or (2 if asked.quick else 5))
        return {
            "machine": machine(),
            "about": about,
            "others": others,
            "cells": cells,
            "peak": {kind: everyone["ours"].ask({"ask": "peak", "library": kind}) for kind in ("numpy", "jax")},
            "flops": {
                f"{w} {m}": everyone["ours"].ask({"ask": "flops", "workload": w, "method": m})
                for w in WORKLOADS
                for m in METHODS
            },
            "start": start_up(TINY) if "start" in asked.only else {},
            "study": start_up(STUDY) if "start" in asked.only and not asked.quick else {},
        }
    finally:
        for one in everyone.values():
            one.process.terminate()


if __name__ == "__main__":
    main()
