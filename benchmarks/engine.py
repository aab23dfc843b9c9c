"""How fast is a training step in da_bench, PyTorch, pytorch-adapt and skada?

Command: `make benchmark`, or `python -m benchmarks.engine --peers PYTHON`, where PYTHON is an interpreter with the
packages of `benchmarks/peers.txt`. `--quick` is a trial of a minute. Writes engine.md, engine.json and engine.png.
Design: one process for each framework; one of them works at a time, in rotating order, with all cores. The report shows
medians over the rounds.

Compare ratios. Other load on the machine slows the frameworks down unequally: threads that wait for each other at every
operation, as in PyTorch, lose most. The report states how much of the machine others used.
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

from benchmarks.engine_report import write_report
from benchmarks.workloads import IMAGE_NETWORKS, METHOD_NAMES, WORKLOADS

ROOT = Path(__file__).parents[1]
DA_BENCH, ALL_CORES = "da_bench", "da_bench, one device per core"
TRAINERS = ("torch", "compile", "pytorch-adapt", "skada")
SINKHORN_PEERS = ("torch", "compile", "POT")
MAX_OTHER_LOAD, MAX_WAIT = 0.1, 60  # share of the machine that others may use at the start; seconds to wait for it
SEED_COUNTS = (2, 5, 10, 20)
LOSS_SHAPES = {  # (rows of each domain, features)
    "coral": ((32, 256), (64, 500), (512, 2048), (5000, 2048)),
    "mmd": ((32, 256), (64, 500), (512, 2048), (2000, 256)),
    "sinkhorn": ((32, 256), (64, 500), (512, 2048), (2000, 256)),
}
STUDY = """import da_bench as da

METHODS = (da.methods.SourceOnly(), da.methods.Dann(widths=(100,)), da.methods.Coral(), da.methods.Mmd())
TRAINING = da.Training(steps=800)
RUNS = [da.Experiment(task="digits/synthetic-to-real", method=method, training=TRAINING) for method in METHODS]
EXPERIMENTS = da.over_seeds(RUNS, 5)
"""
SINGLE_STEP = """import da_bench as da

TRAINING = da.Training(steps=1, evaluations=1)
EXPERIMENTS = [da.Experiment(task="moons/35", method=da.methods.Dann(), training=TRAINING)]
"""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One comparison.

    Attributes:
        name: section, workload and further parts of its name.
        requests: request to the worker of each framework or placement that is compared.
    """

    name: tuple[str, ...]
    requests: dict[str, dict[str, Any]]


class Worker:
    """A process that answers one request after another.

    Args:
        command: command line of the process.
        folder: folder of its log.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.num_requests = 0
        self.log = (folder / f"{command[-1].strip('-')}.log").open("w")
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": self.log,
            "text": True,
            "cwd": ROOT,
            "start_new_session": True,
        }
        self.process = subprocess.Popen(command, **pipes)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer to a request; {"absent": reason} if the process cannot give one."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.num_requests += 1
        try:
            print(json.dumps({**request, "number": self.num_requests}), file=self.process.stdin, flush=True)
            for line in self.process.stdout:  # the answer to an interrupted request may come first
                if (answer := json.loads(line)).pop("number") == self.num_requests:
                    return answer
        except BrokenPipeError:
            pass
        lines = Path(self.log.name).read_text().strip().splitlines()
        return {"absent": f"its process ended: {lines[-1] if lines else 'no output'}"}

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.communicate()  # closes its pipes
        self.log.close()


def start_workers(peer_python: str | None, folder: Path) -> dict[str, Worker]:
    """Start da_bench with one device and with one device per core, and all peers if there is an interpreter."""
    own = [sys.executable, "-m", "benchmarks.da_bench_worker", "--devices"]
    commands = {DA_BENCH: [*own, "1"], ALL_CORES: [*own, str(num_cores())]}
    if peer_python:
        peer = [str(Path(peer_python).absolute()), "-W", "ignore", "-m", "benchmarks.peer_worker"]
        commands |= {name: [*peer, name] for name in (*TRAINERS, "POT")}
    return {name: Worker(command, folder) for name, command in commands.items()}


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def step_measurements(quick: bool) -> Iterator[Measurement]:
    """Training steps of every method."""
    for workload in reversed(WORKLOADS):  # the faster one first
        for method in METHOD_NAMES:
            steps = max(5, WORKLOADS[workload].steps[method] // (3 if quick else 1))
            request = {"request": "steps", "workload": workload, "method": method, "steps": steps}
            yield Measurement(("steps", workload, method), dict.fromkeys((DA_BENCH, *TRAINERS), request))


def seed_measurements(quick: bool) -> Iterator[Measurement]:
    """Several seeds in one program, compared with one after another."""
    for name, workload in WORKLOADS.items():
        for method, steps in workload.seed_steps.items():
            for count in (10,) if quick else SEED_COUNTS:
                request = {"request": "seeds", "workload": name, "method": method, "steps": steps, "seeds": count}
                requests = {
                    "single": {**request, "seeds": 1, "placement": "map"},
                    "map": {**request, "placement": "map"},
                    "vmap": {**request, "placement": "vmap"},
                    "map, one device per core": {**request, "placement": "map"},
                    "vmap, one device per core": {**request, "placement": "vmap"},
                }
                yield Measurement(("seeds", name, method, str(count)), requests)


def image_measurements(quick: bool) -> Iterator[Measurement]:
    """Prediction and training of networks on images of 224 pixels, in batches of 16."""
    for network in IMAGE_NETWORKS:
        for part in ("predict", "train"):
            request = {"request": "images", "network": network, "part": part, "steps": 2 if quick else 4}
            yield Measurement(("images", network, part), dict.fromkeys((DA_BENCH, "torch"), request))


def loss_measurements(quick: bool) -> Iterator[Measurement]:
    """Value and gradient of each loss."""
    for loss, shapes in LOSS_SHAPES.items():
        for n, d in shapes[: 2 if quick else None]:
            repeats = max(1, int(2e9 / (n * d * min(4 * n, d) + 16 * n * n * d)))
            request = {"request": "loss", "loss": loss, "n": n, "d": d, "repeats": min(repeats, 100)}
            peers = SINKHORN_PEERS if loss == "sinkhorn" else TRAINERS
            yield Measurement(("loss", loss, str(n), str(d)), dict.fromkeys((DA_BENCH, *peers), request))


SECTIONS: dict[str, Callable[[bool], Iterator[Measurement]]] = {
    "steps": step_measurements,
    "seeds": seed_measurements,
    "images": image_measurements,
    "loss": loss_measurements,
}


def worker_of(name: str) -> str:
    """Name of the worker that answers for a framework or a placement of seeds."""
    if name.endswith("one device per core"):
        return ALL_CORES
    return DA_BENCH if name in ("single", "map", "vmap") else name


def measure(measurement: Measurement, workers: dict[str, Worker], rounds: int) -> dict[str, Any]:
    """Seconds of each round by framework, after one warm-up round, and the reasons of those that are absent."""
    requests, absent = measurement.requests, {}
    for name, request in requests.items():
        worker = workers.get(worker_of(name))
        answer = worker.ask(request) if worker else {"absent": "no --peers"}
        absent |= {name: answer["absent"]} if "absent" in answer else {}
    present = [name for name in requests if name not in absent]
    seconds: dict[str, list[float]] = {}
    for i in range(rounds):
        first = i % len(present) if present else 0
        for name in present[first:] + present[:first]:
            seconds.setdefault(name, []).append(workers[worker_of(name)].ask(requests[name])["seconds"])
    return {"cell": measurement.name, "requests": requests, "seconds": seconds, "absent": absent}


def time_commands(study: str) -> dict[str, dict[str, float]]:
    """Seconds of `da-bench run` on a file of experiments, with a cold and a warm cache of compiled programs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.py"
        path.write_text(study)
        environment = {**os.environ, "XDG_CACHE_HOME": folder, "DA_BENCH_CACHE": str(Path(folder) / "da-bench")}
        return {cache: _time_command(path, Path(folder) / cache, environment) for cache in ("cold", "cached")}


def _time_command(study: Path, results: Path, environment: dict[str, str]) -> dict[str, float]:
    start = time.perf_counter()
    command = [sys.executable, "-m", "da_bench", "run", str(study), "--results", str(results)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    total = time.perf_counter() - start
    runs = [json.loads(path.read_text())["seconds"] for path in results.glob("runs/*/result.json")]
    return {"command": total, **{part: sum(run[part] / run["together"] for run in runs) for part in ("compile", "run")}}


def machine() -> dict[str, Any]:
    """Processor, cores and operating system."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {"cpu": models[0] if models else platform.processor(), "cores": num_cores(), "system": platform.platform()}


def source_commit() -> str:
    """Commit of this source, with "-changed" if files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=-changed", "--abbrev=12"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def cpu_seconds_of_all() -> float:
    """Seconds that all cores have worked since the machine started; 0 if the system is not Linux."""
    if not Path("/proc/stat").exists():
        return 0.0
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of(workers: Iterable[Worker]) -> float:
    """Seconds of the cores that the workers, this process and its children have used."""
    ticks = 0
    for worker in workers:
        path = Path(f"/proc/{worker.process.pid}/stat")
        ticks += sum(map(int, path.read_text().rpartition(")")[2].split()[11:13])) if path.exists() else 0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(os.times()[:4])


def wait_for_idle_machine() -> None:
    """Wait until others use at most `MAX_OTHER_LOAD` of the machine, or for `MAX_WAIT` seconds."""
    deadline = time.monotonic() + MAX_WAIT
    while time.monotonic() < deadline:
        before = cpu_seconds_of_all()
        time.sleep(2)
        load = (cpu_seconds_of_all() - before) / 2 / num_cores()
        if load <= MAX_OTHER_LOAD:
            return
        print(f"others use {load:.0%} of the machine; waiting", file=sys.stderr)


def measure_all(
    measurements: list[Measurement], workers: dict[str, Worker], rounds: int
) -> tuple[list[dict[str, Any]], float]:
    """All results, and the share of the machine that others used meanwhile. Interrupting keeps those that are done."""
    start, before = time.perf_counter(), cpu_seconds_of_all() - cpu_seconds_of(workers.values())
    results = []
    try:
        for measurement in measurements:
            results.append(measure(measurement, workers, rounds))
            fastest = {name: f"{min(seconds):.3g}" for name, seconds in results[-1]["seconds"].items()}
            print(" ".join(measurement.name), fastest, file=sys.stderr)
    except KeyboardInterrupt:
        print(f"stopped after {len(results)} of {len(measurements)} measurements", file=sys.stderr)
    others = cpu_seconds_of_all() - cpu_seconds_of(workers.values()) - before
    return results, others / (time.perf_counter() - start) / num_cores()


def run_benchmark(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that the report needs except command and commit."""
    measurements = [m for name, section in SECTIONS.items() if name in args.only for m in section(args.quick)]
    workers = start_workers(args.peers, folder)
    try:
        about = {name: worker.ask({"request": "about"}) for name, worker in workers.items()}
        cells, others = measure_all(measurements, workers, args.rounds or (2 if args.quick else 5))
        own_worker = workers[DA_BENCH]
        return {
            "machine": machine(),
            "about": about,
            "others": others,
            "cells": cells,
            "peak": {library: own_worker.ask({"request": "peak", "library": library}) for library in ("numpy", "jax")},
            "flops": {
                f"{workload} {method}": own_worker.ask({"request": "flops", "workload": workload, "method": method})
                for workload in WORKLOADS
                for method in METHOD_NAMES
            },
            "start": time_commands(SINGLE_STEP) if "start" in args.only else {},
            "study": time_commands(STUDY) if "start" in args.only and not args.quick else {},
        }
    finally:
        for worker in workers.values():
            worker.close()


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", help="Python interpreter with the packages of benchmarks/peers.txt")
    parser.add_argument("--quick", action="store_true", help="fewer steps, shapes and rounds")
    parser.add_argument("--rounds", type=int, help="timings of each measurement (default 5, with --quick 2)")
    sections = [*SECTIONS, "start"]
    parser.add_argument("--only", nargs="*", choices=sections, default=sections, help="sections to measure")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results" / "benchmarks", help="folder of the report (%(default)s)"
    )
    args = parser.parse_args()
    options = sys.argv[1:]
    if "--results" in options:  # the recorded command does not contain the folder of the report
        i = options.index("--results")
        options = options[:i] + options[i + 2 :]
    if not args.quick:
        wait_for_idle_machine()
    with tempfile.TemporaryDirectory() as folder:
        result = run_benchmark(args, Path(folder))
    source = {"command": shlex.join(["python", "-m", "benchmarks.engine", *options]), "commit": source_commit()}
    write_report({**source, **result}, args.results)


if __name__ == "__main__":
    main()
