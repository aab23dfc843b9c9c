"""Faults, made on purpose: processes that are killed, disks that are full, files that are damaged, starts at once.

A driver imports everything once and never computes, so that it has no threads and may fork: each victim is a fork of
it that runs `da-bench run METHOD` in earnest. `python tests/faults.py FOLDER kills=200 full=50 starts=100` tries some
or all of these and prints what came of each as one line of JSON; test_faults.py starts it, in a short form always and
in a long one, of all methods (`all` after the folder), on request.
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
from da_bench.training import in_memory as resident
from da_bench.training import loop as engine

IMPORTED = (matplotlib.figure, orbax.checkpoint, scipy.optimize, sklearn.linear_model, sklearn.svm, tyro)
TASK, SEEDS, AT_ONCE = "moons/35", 2, 4
TRAINING = ["--training.steps", "12", "--training.evaluations", "3", "--training.batch-size", "16"]
WATCHED = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", "fcntl.flock")
INJECTED = ("write", "fsync", "rename", "mkdir", "open", "truncate")


@dataclasses.dataclass
class Fault:
    """What befalls a process: a kill before its n-th event, or so long after its first launch; no room for the n-th
    call, or for files beyond so many bytes.
    """

    event: int | None = None
    after: float | None = None
    call: int | None = None
    size: int | None = None


@dataclasses.dataclass
class Victim:
    """A process under a fault: its id, its end of a pipe on which it says that it is computing, what it said."""

    pid: int
    launched: int
    said: Path
    fault: Fault
    kill_at: float = float("inf")


TRIED = ["source_only", "dann", "mean_teacher", "logistic_regression"]  # one of every kind


def start(method: str, results: Path, fault: Fault) -> Victim:
    """Fork a process that makes the runs of a method."""
    reading, writing = os.pipe()
    said = results.parent / f"{results.name}.said"
    if pid := os.fork():
        os.close(writing)
        os.set_blocking(reading, False)
        return Victim(pid, reading, said, fault)
    os._exit(suffer(method, results, fault, writing))  # nothing of the driver is run twice


def suffer(method: str, results: Path, fault: Fault, launched: int) -> int:
    """In the forked process: the exit code of the command."""
    said, code = io.StringIO(), 70
    resident.LAUNCH_SECONDS = 0.0  # a launch is one step, so that there is much to save

    def fit_and_tell(*arguments):
        os.write(launched, b"1")
        return engine.fit(*arguments)

    fit.fit = fit_and_tell
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            befall(results, fault)
            code = cli.main(command(method, results))
        except BaseException as error:
            print(f"uncaught: {type(error).__name__}: {error}", file=sys.stderr)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    STOP.append(1)
    (results.parent / f"{results.name}.said").write_text(json.dumps([said.getvalue(), COUNTED]))
    return code


def command(method: str, results: Path) -> list[str]:
    training = TRAINING if issubclass(METHODS[method], da.methods.Method) else []
    options = ["--results", str(results), "--checkpoint-seconds", "0", "--quiet"]
    return ["run", method, "--task", TASK, "--seeds", str(SEEDS), *training, *options]


COUNTED = {"events": 0, "calls": 0}
STOP: list[int] = []


def befall(results: Path, fault: Fault) -> None:
    """Prepare the fault of this process."""
    folder = str(results)

    def event(name, arguments):
        if not STOP and name in WATCHED and (name == "fcntl.flock" or folder in str(arguments[0])):
            COUNTED["events"] += 1
            if COUNTED["events"] == fault.event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(event)
    for name in INJECTED:
        setattr(os, name, refusing(getattr(os, name), folder, fault.call))
    if fault.size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, resource.RLIM_INFINITY))


def refusing(call, folder: str, number: int | None):
    """A system call that finds no room when it is the n-th of all that are about something in the folder."""

    def called(*arguments, **options):
        if not STOP and folder in path_of(arguments[0]):
            COUNTED["calls"] += 1
            if COUNTED["calls"] == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments, **options)

    return called


def path_of(thing) -> str:
    return os.readlink(f"/proc/self/fd/{thing}") if isinstance(thing, int) else str(thing)


def run_all(jobs) -> None:
    """Jobs are generators that yield (method, results, fault) and are sent (exit code, what it said, counts)."""
    waiting, running = iter(jobs), {}
    while True:
        while len(running) < AT_ONCE and (job := next(waiting, None)) is not None:
            step(job, None, running)
        if not running:
            return
        for pid in list(running):
            look_after(pid, running)
        time.sleep(0.002)


def step(job, ended, running) -> None:
    try:
        victim = start(*(job.send(ended)))
    except StopIteration:
        return
    running[victim.pid] = victim, job


def look_after(pid: int, running) -> None:
    victim, job = running[pid]
    if victim.fault.after is not None and victim.kill_at == float("inf") and heard(victim.launched):
        victim.kill_at = time.monotonic() + victim.fault.after
    if time.monotonic() >= victim.kill_at:
        os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        os.close(victim.launched)
        del running[pid]
        code = os.waitstatus_to_exitcode(status)
        said = json.loads(victim.said.read_text()) if code >= 0 else ["", {}]
        step(job, (code, *said), running)


def heard(pipe: int) -> bool:
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def left(results: Path) -> dict[str, object]:
    """What the runs of a folder are, to the last bit; and whatever else lies in it."""
    found: dict[str, object] = {}
    for record in Records(results).all():
        with np.load(results / "runs" / record.id / "predictions.npz") as arrays:
            predicted = {name: arrays[name].tobytes().hex() for name in arrays.files}
        result = {name: value for name, value in record.result.items() if name not in ("seconds", "peak_bytes")}
        found[record.id] = (result, record.curves, predicted)
    names = [path.name for path in (results / "runs").iterdir() if path.name.startswith(".")]
    return {"runs": found, "hidden": names, "others": [one.name for one in results.iterdir() if one.name != "runs"]}


WHOLE: dict[str, dict[str, object]] = {}
COUNTS: dict[str, dict[str, int]] = {}


def undisturbed(folder: Path, methods: list[str]) -> None:
    """Of each method what its runs leave, in WHOLE, and how many events and calls they take, in COUNTS."""

    def job(name):
        code, said, counted = yield name, folder / f"whole-{name}", Fault()
        assert code == 0, said
        WHOLE[name], COUNTS[name] = left(folder / f"whole-{name}"), counted

    run_all(job(name) for name in methods if name not in WHOLE)


def kills(count: int, folder: Path) -> dict[str, object]:
    """SIGKILLs at random moments, of processes that are then started again, until `count` of them have hit."""
    methods = list(TRIED)
    undisturbed(folder, methods)
    generator, tally = np.random.default_rng(0), collections.Counter()

    def job(number):
        name, results = methods[number % len(methods)], folder / f"kill-{number}"
        for attempt in itertools.count():
            fault = moment(generator, COUNTS[name]["events"]) if attempt < 8 and tally["kills"] < count else Fault()
            code, said, _ = yield name, results, fault
            tally["kills"] += code == -signal.SIGKILL
            tally["at an event" if fault.event else "at a time"] += code == -signal.SIGKILL
            tally["while publishing or after"] += code == -signal.SIGKILL and published(results)
            tally["unexpected"] += code not in (0, -signal.SIGKILL)
            if code != -signal.SIGKILL:
                break
        compare(name, results, said)

    def compare(name, results, said):
        found = left(results)
        tally["sequences"] += 1
        tally["resumed"] += "resuming from step" in said
        tally["lost"] += len(WHOLE[name]["runs"].keys() - found["runs"].keys())
        tally["twice"] += len(found["runs"].keys() - WHOLE[name]["runs"].keys())
        tally["different"] += found["runs"] != WHOLE[name]["runs"]
        tally["left over"] += len(found["hidden"]) + len(found["others"])
        shutil.rmtree(results)

    run_all(itertools.takewhile(lambda _: tally["kills"] < count, map(job, itertools.count())))
    return dict(tally)


def published(results: Path) -> bool:
    return any(not path.name.startswith(".") for path in (results / "runs").glob("*"))


def moment(generator, events: int) -> Fault:
    """Half of them right before a file is touched, half at any time within what a run takes after compiling."""
    if generator.random() < 0.5:
        return Fault(event=int(generator.integers(1, events + 1)))
    return Fault(after=float(generator.uniform(0, 1.5)))


def full(count: int, folder: Path) -> dict[str, object]:
    """No room, half of the times for files beyond some size, half for the n-th call; then the same command again."""
    methods = [name for name in TRIED if issubclass(METHODS[name], da.methods.Method)]
    undisturbed(folder, methods)
    tally = collections.Counter()

    def job(number):
        name, results = methods[number % len(methods)], folder / f"full-{number}"
        share = (number // 2 + 0.5) / (count / 2)
        size, call = int(300_000**share) - 1, 1 + int(share * COUNTS[name]["calls"])
        code, said, _ = yield name, results, Fault(size=size) if number % 2 else Fault(call=call)
        tally["points"] += 1
        tally["hit"] += code != 0
        tally["exit 74"] += code == 74
        lines = [line for line in said.splitlines() if line.startswith("da-bench:")]
        clear = code == 0 or (code == 74 and len(lines) == 1 and "Traceback" not in said)
        tally["unclear"] += not clear
        if not clear:
            print(f"{name} {'size' if number % 2 else 'call'} {size} {call}: {code} {said}", file=sys.stderr)
        tally["half-written"] += half_written(results, WHOLE[name]["runs"])
        code, said, _ = yield name, results, Fault()
        found = left(results) if code == 0 else None
        tally["not completed"] += code != 0
        tally["different"] += found != WHOLE[name]
        shutil.rmtree(results)

    run_all(map(job, range(count)))
    return dict(tally)


def half_written(results: Path, whole) -> int:
    """Records that are there and are not what they should be."""
    if not (results / "runs").is_dir():
        return 0
    return sum(whole.get(name) != one for name, one in left(results)["runs"].items())


def starts(rounds: int, folder: Path) -> dict[str, object]:
    """Eight processes, each started once, that all make the same run at once, one run after another."""
    barrier, outcomes = multiprocessing.Barrier(8), multiprocessing.SimpleQueue()
    workers = []
    for _ in range(8):
        if pid := os.fork():
            workers.append(pid)
        else:
            os._exit(contend(rounds, folder, barrier, outcomes))
    found = [outcomes.get() for _ in range(8 * rounds)]
    crashed = sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0 for pid in workers)
    winners = collections.Counter(number for number, outcome in found if outcome == "made")
    tally = collections.Counter(outcome.split(":")[0] for _, outcome in found)
    inside = left(folder / "starts")
    one_each = sum(winners[number] == 1 for number in range(rounds))
    return {
        "rounds": rounds,
        "one winner": one_each,
        "records": len(inside["runs"]),
        "left over": len(inside["hidden"]) + len(inside["others"]),
        "crashed": crashed,
        **tally,
    }


def contend(rounds: int, folder: Path, barrier, outcomes) -> int:
    """In one of the eight: of each run, whether this process made it, found it or left it to another."""
    published, publish = [], Records.publish

    def noted(self, record, predictions):
        done = publish(self, record, predictions)
        published.append(done)
        return done

    Records.publish = noted
    options = da.Options(results=folder / "starts", progress="none", checkpoint_seconds=0)
    for number in range(rounds):
        published.clear()
        barrier.wait()
        with contextlib.redirect_stderr(io.StringIO()):
            outcome = attempt(contended(number), options)
        outcomes.put((number, "made" if any(published) else outcome))
    return 0


def contended(number: int) -> da.Experiment:
    methods = [METHODS[name] for name in TRIED]
    training = da.Training(steps=4, evaluations=2, batch_size=16)
    return da.Experiment(task=TASK, method=methods[number % len(methods)](), training=training, seed=number)


def attempt(one: da.Experiment, options: da.Options) -> str:
    try:
        da.study([one], options)
    except LockedError:
        return "left to another"
    except BaseException as error:
        return f"error: {type(error).__name__}: {error}"
    return "found on record"


def main() -> None:
    folder, asked = Path(sys.argv[1]).absolute(), [one.split("=") for one in sys.argv[2:] if "=" in one]
    load_plugins()
    if "all" in sys.argv:  # but for those that this task's network, without batch normalisation, is not for
        TRIED[:] = [name for name, cls in METHODS.items() if not cls.metadata.needs_batch_norm]
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[2] / ".cache" / "faults"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    found = {}
    for what, count in asked:
        (folder / what).mkdir(parents=True, exist_ok=True)
        found[what] = {"kills": kills, "full": full, "starts": starts}[what](int(count), folder / what)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
