"""Fault injection: killed processes, full disks, and processes that start the same run at once.

The driver imports everything once and computes nothing, so it has no threads and may fork. Each victim is a fork that
runs the command `da-bench run METHOD`. `python -m tests.helpers.faults FOLDER kills=200 full=50 starts=100` injects
some or all kinds of faults and prints the counts of outcomes as one line of JSON. With `all` after the folder, it
tests all methods instead of a few. tests/studies/test_faults.py starts it.
"""

import collections
import contextlib
import dataclasses
import errno
import io
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no threads before a fork
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=1"

import jax
import matplotlib.figure
import numpy as np
import orbax.checkpoint
import scipy.optimize
import sklearn.linear_model
import sklearn.svm
import tyro

import da_bench as da
from da_bench import cli
from da_bench.core.locks import LockedError
from da_bench.methods import METHODS, load_plugins
from da_bench.studies import fit
from da_bench.studies.records import Records
from da_bench.training import in_memory, loop

IMPORTED = (matplotlib.figure, orbax.checkpoint, scipy.optimize, sklearn.linear_model, sklearn.svm, tyro)
TASK, SEEDS, AT_ONCE = "moons/35", 2, 4
TRAINING = ["--training.steps", "12", "--training.evaluations", "3", "--training.batch-size", "16"]
WATCHED = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", "fcntl.flock")
INJECTED = ("write", "fsync", "rename", "mkdir", "open", "truncate")


@dataclasses.dataclass
class Fault:
    """A fault of a process.

    Attributes:
        event: SIGKILL before the event of this number.
        after: SIGKILL so many seconds after the first launch.
        call: the system call of this number fails, as the disk is full.
        size: the largest possible size of a file in bytes.
    """

    event: int | None = None
    after: float | None = None
    call: int | None = None
    size: int | None = None


@dataclasses.dataclass
class Victim:
    """A process with a fault.

    Attributes:
        pid: its process id.
        launched: descriptor of a pipe that can be read as soon as the process computes.
        output: file with its output and its counts of events and calls.
        fault: its fault.
        kill_at: time of the kill, if it is known.
    """

    pid: int
    launched: int
    output: Path
    fault: Fault
    kill_at: float = float("inf")


METHOD_NAMES = ["source_only", "dann", "mean_teacher", "logistic_regression"]  # one of every kind


def start(method: str, results: Path, fault: Fault) -> Victim:
    """Fork a process that computes the runs of a method."""
    reading, writing = os.pipe()
    output = results.parent / f"{results.name}.json"
    if pid := os.fork():
        os.close(writing)
        os.set_blocking(reading, False)
        return Victim(pid, reading, output, fault)
    os._exit(run_victim(method, results, fault, writing))  # no code of the driver runs in the fork


def run_victim(method: str, results: Path, fault: Fault, launched: int) -> int:
    """Run the command in the forked process and return its exit code."""
    output, code = io.StringIO(), 70
    in_memory.LAUNCH_SECONDS = 0.0  # a launch is one step, so that there are many checkpoints

    def fit_and_report(*arguments):
        os.write(launched, b"1")
        return loop.fit(*arguments)

    fit.fit = fit_and_report
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            install_fault(results, fault)
            code = cli.main(command(method, results))
        except BaseException as error:
            print(f"uncaught: {type(error).__name__}: {error}", file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    STOP.append(1)
    (results.parent / f"{results.name}.json").write_text(json.dumps([output.getvalue(), COUNTED]))
    return code


def command(method: str, results: Path) -> list[str]:
    training = TRAINING if issubclass(METHODS[method], da.methods.Method) else []
    options = ["--results", str(results), "--checkpoint-seconds", "0", "--quiet"]
    return ["run", method, "--task", TASK, "--seeds", str(SEEDS), *training, *options]


COUNTED = {"events": 0, "calls": 0}
STOP: list[int] = []


def install_fault(results: Path, fault: Fault) -> None:
    """Install the fault in this process, and count events and calls."""
    folder = str(results)

    def event(name, arguments):
        if not STOP and name in WATCHED and (name == "fcntl.flock" or folder in str(arguments[0])):
            COUNTED["events"] += 1
            if COUNTED["events"] == fault.event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(event)
    for name in INJECTED:
        setattr(os, name, failing(getattr(os, name), folder, fault.call))
    if fault.size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, resource.RLIM_INFINITY))


def failing(call, folder: str, number: int | None):
    """Make a system call fail for a full disk if it is the call of that number on files in the folder."""

    def wrapper(*arguments, **options):
        if not STOP and folder in path_of(arguments[0]):
            COUNTED["calls"] += 1
            if COUNTED["calls"] == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments, **options)

    return wrapper


def path_of(file) -> str:
    return os.readlink(f"/proc/self/fd/{file}") if isinstance(file, int) else str(file)


def run_all(jobs) -> None:
    """Run jobs: generators that yield (method, results, fault) and are sent (exit code, output, counts)."""
    waiting, running = iter(jobs), {}
    while True:
        while len(running) < AT_ONCE and (job := next(waiting, None)) is not None:
            step(job, None, running)
        if not running:
            return
        for pid in list(running):
            watch(pid, running)
        time.sleep(0.002)


def step(job, outcome, running) -> None:
    try:
        victim = start(*(job.send(outcome)))
    except StopIteration:
        return
    running[victim.pid] = victim, job


def watch(pid: int, running) -> None:
    victim, job = running[pid]
    if victim.fault.after is not None and victim.kill_at == float("inf") and has_launched(victim.launched):
        victim.kill_at = time.monotonic() + victim.fault.after
    if time.monotonic() >= victim.kill_at:
        os.kill(pid, signal.SIGKILL)  # not yet waited for, so the id is still in use
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        os.close(victim.launched)
        del running[pid]
        code = os.waitstatus_to_exitcode(status)
        output = json.loads(victim.output.read_text()) if code >= 0 else ["", {}]
        step(job, (code, *output), running)


def has_launched(pipe: int) -> bool:
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def read_results(results: Path) -> dict[str, object]:
    """Return the complete content of the records in a results folder, and the names of its other files."""
    records: dict[str, object] = {}
    for record in Records(results).all():
        with np.load(results / "runs" / record.id / "predictions.npz") as arrays:
            predicted = {name: arrays[name].tobytes().hex() for name in arrays.files}
        result = {name: value for name, value in record.result.items() if name not in ("seconds", "peak_bytes")}
        records[record.id] = (result, record.curves, predicted)
    names = [path.name for path in (results / "runs").iterdir() if path.name.startswith(".")]
    return {
        "runs": records,
        "hidden": names,
        "others": [path.name for path in results.iterdir() if path.name != "runs"],
    }


EXPECTED: dict[str, dict[str, object]] = {}
COUNTS: dict[str, dict[str, int]] = {}


def undisturbed(folder: Path, methods: list[str]) -> None:
    """Run each method without faults: its results go to EXPECTED, its numbers of events and calls to COUNTS."""

    def job(name):
        code, output, counted = yield name, folder / f"undisturbed-{name}", Fault()
        assert code == 0, output
        EXPECTED[name], COUNTS[name] = read_results(folder / f"undisturbed-{name}"), counted

    run_all(job(name) for name in methods if name not in EXPECTED)


def kills(count: int, folder: Path) -> dict[str, object]:
    """Kill processes at random moments and start them again, until `count` kills have hit."""
    methods = list(METHOD_NAMES)
    undisturbed(folder, methods)
    generator, tally = np.random.default_rng(0), collections.Counter()

    def job(number):
        name, results = methods[number % len(methods)], folder / f"kill-{number}"
        for attempt in itertools.count():
            fault = draw_kill(generator, COUNTS[name]["events"]) if attempt < 8 and tally["kills"] < count else Fault()
            code, output, _ = yield name, results, fault
            tally["kills"] += code == -signal.SIGKILL
            tally["at an event" if fault.event else "at a time"] += code == -signal.SIGKILL
            tally["while publishing or after"] += code == -signal.SIGKILL and published(results)
            tally["unexpected"] += code not in (0, -signal.SIGKILL)
            if code != -signal.SIGKILL:
                break
        compare(name, results, output)

    def compare(name, results, output):
        contents = read_results(results)
        tally["sequences"] += 1
        tally["resumed"] += "resuming from step" in output
        tally["lost"] += len(EXPECTED[name]["runs"].keys() - contents["runs"].keys())
        tally["twice"] += len(contents["runs"].keys() - EXPECTED[name]["runs"].keys())
        tally["different"] += contents["runs"] != EXPECTED[name]["runs"]
        tally["left over"] += len(contents["hidden"]) + len(contents["others"])
        shutil.rmtree(results)

    run_all(itertools.takewhile(lambda _: tally["kills"] < count, map(job, itertools.count())))
    return dict(tally)


def published(results: Path) -> bool:
    return any(not path.name.startswith(".") for path in (results / "runs").glob("*"))


def draw_kill(generator, events: int) -> Fault:
    """Draw a kill: half of them just before an access to a file, half at any time of the run after compiling."""
    if generator.random() < 0.5:
        return Fault(event=int(generator.integers(1, events + 1)))
    return Fault(after=float(generator.uniform(0, 1.5)))


def full(count: int, folder: Path) -> dict[str, object]:
    """Fill the disk, half of the times by a limit on file sizes, half by a failing call; then repeat the command."""
    methods = [name for name in METHOD_NAMES if issubclass(METHODS[name], da.methods.Method)]
    undisturbed(folder, methods)
    tally = collections.Counter()

    def job(number):
        name, results = methods[number % len(methods)], folder / f"full-{number}"
        share = (number // 2 + 0.5) / (count / 2)
        size, call = int(300_000**share) - 1, 1 + int(share * COUNTS[name]["calls"])
        code, output, _ = yield name, results, Fault(size=size) if number % 2 else Fault(call=call)
        tally["points"] += 1
        tally["hit"] += code != 0
        tally["exit 74"] += code == 74
        lines = [line for line in output.splitlines() if line.startswith("da-bench:")]
        clear = code == 0 or (code == 74 and len(lines) == 1 and "Traceback" not in output)
        tally["unclear"] += not clear
        if not clear:
            print(f"{name} {'size' if number % 2 else 'call'} {size} {call}: {code} {output}", file=sys.stderr)
        tally["half-written"] += count_half_written(results, EXPECTED[name]["runs"])
        code, output, _ = yield name, results, Fault()
        contents = read_results(results) if code == 0 else None
        tally["not completed"] += code != 0
        tally["different"] += contents != EXPECTED[name]
        shutil.rmtree(results)

    run_all(map(job, range(count)))
    return dict(tally)


def count_half_written(results: Path, expected) -> int:
    """Number of existing records that differ from the expected ones."""
    if not (results / "runs").is_dir():
        return 0
    return sum(expected.get(name) != record for name, record in read_results(results)["runs"].items())


def starts(rounds: int, folder: Path) -> dict[str, object]:
    """Let eight processes compute the same runs at the same time, one run after another."""
    barrier, outcomes = multiprocessing.Barrier(8), multiprocessing.SimpleQueue()
    workers = []
    for _ in range(8):
        if pid := os.fork():
            workers.append(pid)
        else:
            os._exit(compete(rounds, folder, barrier, outcomes))
    results = [outcomes.get() for _ in range(8 * rounds)]
    crashed = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in workers)
    winners = collections.Counter(number for number, outcome in results if outcome == "computed")
    tally = collections.Counter(outcome.split(":")[0] for _, outcome in results)
    contents = read_results(folder / "starts")
    one_each = sum(winners[number] == 1 for number in range(rounds))
    return {
        "rounds": rounds,
        "one winner": one_each,
        "records": len(contents["runs"]),
        "left over": len(contents["hidden"]) + len(contents["others"]),
        "crashed": crashed,
        **tally,
    }


def compete(rounds: int, folder: Path, barrier, outcomes) -> int:
    """In one of the eight processes: report for each run whether it computed it, found it or left it to another."""
    published, publish = [], Records.publish

    def record_publish(self, record, predictions):
        is_new = publish(self, record, predictions)
        published.append(is_new)
        return is_new

    Records.publish = record_publish
    options = da.Options(results=folder / "starts", progress="none", checkpoint_seconds=0)
    for number in range(rounds):
        published.clear()
        barrier.wait()
        with contextlib.redirect_stderr(io.StringIO()):
            outcome = attempt(experiment_of_round(number), options)
        outcomes.put((number, "computed" if any(published) else outcome))
    return 0


def experiment_of_round(number: int) -> da.Experiment:
    methods = [METHODS[name] for name in METHOD_NAMES]
    training = da.Training(steps=4, evaluations=2, batch_size=16)
    return da.Experiment(task=TASK, method=methods[number % len(methods)](), training=training, seed=number)


def attempt(experiment: da.Experiment, options: da.Options) -> str:
    try:
        da.study([experiment], options)
    except LockedError:
        return "left to another"
    except BaseException as error:
        return f"error: {type(error).__name__}: {error}"
    return "found on record"


def main() -> None:
    folder, counts = Path(sys.argv[1]).absolute(), [argument.split("=") for argument in sys.argv[2:] if "=" in argument]
    load_plugins()
    if "all" in sys.argv:  # except those that need batch normalisation, which this task's network lacks
        METHOD_NAMES[:] = [name for name, cls in METHODS.items() if not cls.metadata.needs_batch_norm]
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[2] / ".cache" / "faults"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    outcomes = {}
    for kind, count in counts:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        outcomes[kind] = {"kills": kills, "full": full, "starts": starts}[kind](int(count), folder / kind)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
