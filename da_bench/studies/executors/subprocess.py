"""Every run in its own process: a run that crashes or takes too long is recorded, and the study continues."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax

from da_bench.core.config import StorageError, UserError
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.shutdown import StopRequest
from da_bench.studies.context import StudyContext
from da_bench.studies.experiment import Experiment
from da_bench.studies.options import Options
from da_bench.studies.prepare import PreparedGroup
from da_bench.studies.score import failed_run

WORKER = "da_bench.studies.executors.worker"
OUT_OF_MEMORY = 71  # exit code of the worker; its other codes are those of the exceptions
GRACE_SECONDS = 30.0  # to save in, before a process that was asked to end is killed
POLL_SECONDS = 0.05
READ_BYTES = 1 << 16  # of a process's output, read at once

LineCallback = Callable[[str], None]


class Failure(NamedTuple):
    """Why a process left no result.

    Attributes:
        cause: "out_of_memory", "killed", "aborted", "timeout" or "error".
        reason: a sentence for the record.
    """

    cause: str
    reason: str


def run_groups(groups: list[PreparedGroup], context: StudyContext) -> list[PreparedGroup]:
    """Compute every run in its own process; each ends on record, failed if it left no result.

    Returns:
        Groups of one run each that were left because another process is computing them.

    Raises:
        Stopped: on request, after the run in progress has saved.
        UserError: a run's process refused its settings.
    """
    left = []
    for group in groups:
        for experiment in group.experiments:
            context.request.raise_if_requested()
            alone = group.select([experiment])
            if not _run_alone(alone, context):
                left.append(alone)
    return left


def _run_alone(group: PreparedGroup, context: StudyContext) -> bool:
    """Compute the one run of a group; False where another process computes it."""
    if not is_free(group, context):
        return False
    failure, options = None, context.options
    if not context.records.has(group.example.id):
        context.progress.start_group(group.label, 1)
        shows_progress = options.progress != "none"
        message = describe_run(group.example, worker_options(options, "json" if shows_progress else "none"))
        on_line = context.progress.relay if shows_progress else None
        try:
            failure = run_in_subprocess(message, options.timeout, context.request, on_line)
        except LockedError:
            return False
    return settle(group, failure, context)


def is_free(group: PreparedGroup, context: StudyContext) -> bool:
    """Whether no process computes the runs of a group at this moment."""
    with contextlib.ExitStack() as stack:
        return context.try_lock_runs(group.ids, stack)


def settle(group: PreparedGroup, failure: Failure | None, context: StudyContext) -> bool:
    """Make sure that the one run of a group is on record after its process ended, if need be as failed.

    Returns:
        False where another process computes the run by now.
    """
    experiment, records = group.example, context.records
    try:
        with hold_locks([records.lock(experiment.id)]):
            if not records.has(experiment.id):
                failure = failure or Failure("error", "its process ended with exit code 0 and left no result")
                context.progress.note(f"{group.label}, seed {experiment.seed}: {failure.cause}: {failure.reason}")
                records.publish(*failed_run(experiment, group.task, *failure))
    except LockedError:
        return False
    context.progress.finish_runs(1, len(records.failures([experiment.id])))
    return True


def worker_options(options: Options, progress: str = "none") -> dict[str, Any]:
    """Return fields of `Options` for a process that computes one run, on this machine or another."""
    root = options.data_root and os.path.abspath(options.data_root)
    single_run = {"isolate": False, "timeout": None, "shard": (1, 1), "retry": False, "executor": "here"}
    paths = {"results": os.path.abspath(options.results), "data_root": root}
    return {**vars(options), **single_run, **paths, "progress": progress}


def describe_run(experiment: Experiment, options: dict[str, Any]) -> str:
    """Describe a run in one line of JSON for the process that is to compute it.

    Args:
        experiment: the run.
        options: fields of `Options` for that process.

    Raises:
        UserError: see `sources`.
    """
    message = {
        "config": experiment.config(),
        "sources": sources(experiment),
        "options": options,
        "argv": sys.argv,
        "cpu_devices": jax.config.jax_num_cpu_devices,  # type: ignore[attr-defined]
        "cache": jax.config.jax_compilation_cache_dir,  # type: ignore[attr-defined]
    }
    return json.dumps(message, default=str)


def run_in_subprocess(
    message: str, timeout: float | None, request: StopRequest, on_line: LineCallback | None = None
) -> Failure | None:
    """Compute a run in its own process.

    Args:
        message: from `describe_run`.
        timeout: seconds that the process may take; None: unlimited.
        request: a request to stop ends the process, which saves first.
        on_line: called with every line that the process prints, such as its progress; None lets it print.

    Returns:
        None where the process ended well.

    Raises:
        Stopped: on request, after the process has saved.
        UserError: the process refused its settings.
        LockedError: another process computes the run.
    """
    # files, as a pipe would break in a process that outlives this one and has not saved yet
    with tempfile.TemporaryFile("w+") as stderr, tempfile.TemporaryFile() as stdout:
        poll_output = _LineReader(stdout, on_line).poll if on_line else lambda: None
        # in its own session: Ctrl-C in the terminal reaches this process only, which passes it on once
        with subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=stdout if on_line else None,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as process:
            _send(process, message)
            try:
                timed_out = _wait(process, timeout, request, poll_output)
            except BaseException:  # a second Ctrl-C: do not wait any longer
                process.kill()
                raise
        poll_output()  # its last lines
        request.raise_if_requested()
        return _outcome(process.returncode, timeout if timed_out else None, _last_line(stderr))


def _send(process: "subprocess.Popen[str]", message: str) -> None:
    """Write the message and leave the standard input open: its end tells the worker that this process has died."""
    assert process.stdin
    try:
        process.stdin.write(message + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # it died before it read; its exit code says how
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


class _LineReader:
    """Passes on the lines of a file that another process writes, without moving that process's position in it."""

    def __init__(self, file: IO[bytes], on_line: LineCallback) -> None:
        self.file, self.on_line, self.position = file, on_line, 0

    def poll(self) -> None:
        """Pass on the complete lines since the last call."""
        content = os.pread(self.file.fileno(), READ_BYTES, self.position)
        complete = content[: content.rfind(b"\n") + 1] or (content if len(content) == READ_BYTES else b"")
        self.position += len(complete)
        for line in complete.decode(errors="replace").splitlines():
            self.on_line(line)


def _wait(
    process: "subprocess.Popen[str]", timeout: float | None, request: StopRequest, poll_output: Callable[[], None]
) -> bool:
    """Wait for a process, and end it after the timeout or on request; return whether it timed out."""
    start = time.monotonic()
    while process.poll() is None:
        poll_output()
        timed_out = timeout is not None and time.monotonic() - start > timeout
        if timed_out or request.signal is not None:
            process.terminate()  # it saves its progress
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            return timed_out
        time.sleep(POLL_SECONDS)
    return False


def _outcome(code: int, timeout: float | None, last_line: str) -> Failure | None:
    """Interpret an exit code; `timeout` is None unless the process was ended for it."""
    for kind in (UserError, StorageError, LockedError):
        if code == kind.code:
            raise kind(last_line.removeprefix("da-bench: "))
    if code == 0:
        return None
    if timeout:
        return Failure("timeout", f"not done after {timeout:g} seconds")
    if code == OUT_OF_MEMORY:
        return Failure("out_of_memory", last_line)
    if code == -signal.SIGKILL:
        return Failure("killed", "by signal 9, which systems send to processes that take too much memory")
    if code < 0:
        return Failure("aborted", f"by signal {-code} ({signal.Signals(-code).name}); {last_line}")
    return Failure("error", last_line)


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    lines = [line for line in file.read().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"


def sources(experiment: Experiment) -> list[str]:
    """Return what another process must load to know the run's method and network: module names and file paths.

    Raises:
        UserError: a class was not defined in a file.
    """
    return sorted({_source(type(thing)) for thing in (experiment.method, experiment.network)})


def _source(cls: type) -> str:
    if cls.__module__ in sys.modules and cls.__module__ != "__main__":
        return cls.__module__
    functions = [function for function in vars(cls).values() if hasattr(function, "__code__")]
    # by their globals: what a decorator adds to a class claims its module by name only
    own = [function for function in functions if function.__globals__.get("__name__") == cls.__module__]
    files = [path for function in own if (path := Path(function.__code__.co_filename)).is_file()]
    if not files:
        raise UserError(f"Options.isolate: {cls.__name__} is not defined in a file, so no other process can load it")
    return os.path.abspath(files[0])
