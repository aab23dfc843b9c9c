"""A run in a process of its own: what kills it, or takes too long, is a finding and not the end of a sweep."""

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
from da_bench.core.locks import LockedError
from da_bench.core.shutdown import Request
from da_bench.studies.experiment import Experiment

OUT_OF_MEMORY = 71  # exit code; others are those of the exceptions
GRACE = 30.0  # seconds to save in, before a process that was asked to end is killed
POLL = 0.05
LISTENED = 1 << 16  # bytes of what a process prints that are taken at once

Hear = Callable[[str], None]


class Failure(NamedTuple):
    """Why a process left no result. cause: "out_of_memory", "killed", "aborted", "timeout" or "error"."""

    cause: str
    reason: str


def apart(
    one: Experiment, options: dict[str, Any], timeout: float | None, request: Request, hear: Hear | None = None
) -> Failure | None:
    """Make a run in a process of its own: None when it ends well, else a Failure.

    options: fields of `Options` for the process; timeout: seconds that it may take; hear: called with every line that
    it prints, its progress if the options have it.

    Raises:
        Stopped: on request, after the process has saved. UserError: it refused what it was asked for. LockedError:
            another process is making the run.
    """
    return make(described(one, options), timeout, request, hear)


def described(one: Experiment, options: dict[str, Any]) -> str:
    """A run as one line for a process that is to make it. options: fields of `Options` for that process."""
    told = {"config": one.config(), "sources": sources(one), "options": options, "argv": sys.argv}
    return json.dumps({**told, **_devices()}, default=str)


def make(message: str, timeout: float | None, request: Request, hear: Hear | None = None) -> Failure | None:
    """`apart`, of what `described` says."""
    # a file, as a pipe would break in a process that outlives this one, before it has saved
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile() as printed:
        command, out = [sys.executable, "-m", "da_bench.studies.executors.worker"], printed if hear else None
        listen = _Listener(printed, hear).listen if hear else lambda: None
        # a session of its own: Ctrl-C in the terminal reaches this process only, which passes it on once
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=said, text=True, start_new_session=True
        ) as process:
            _tell(process, message)
            try:
                late = _wait(process, timeout, request, listen)
            except BaseException:  # a second Ctrl-C: nobody waits for it any more
                process.kill()
                raise
        listen()  # to its last words
        request.raise_if_made()
        return _outcome(process.returncode, timeout if late else None, _last_line(said))


def _tell(process: "subprocess.Popen[str]", message: str) -> None:
    """The standard input stays open: its end tells the process that this one is gone."""
    assert process.stdin
    try:
        process.stdin.write(message + "\n")
        process.stdin.flush()
    except BrokenPipeError:  # it died before it listened; how, says its exit code
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _devices() -> dict[str, Any]:
    return {
        "cpu_devices": jax.config.jax_num_cpu_devices,  # type: ignore[attr-defined]
        "cache": jax.config.jax_compilation_cache_dir,  # type: ignore[attr-defined]
    }


class _Listener:
    """Passes on the lines of a file that another process writes, whose place in the file is left as it is."""

    def __init__(self, file: IO[bytes], hear: Hear) -> None:
        self.file, self.hear, self.at = file, hear, 0

    def listen(self) -> None:
        """The lines that came since the last call and are whole."""
        found = os.pread(self.file.fileno(), LISTENED, self.at)
        whole = found[: found.rfind(b"\n") + 1] or (found if len(found) == LISTENED else b"")
        self.at += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.hear(line)


def _wait(
    process: "subprocess.Popen[str]", timeout: float | None, request: Request, listen: Callable[[], None]
) -> bool:
    """Wait for its end, and see to it where it is late or a stop is asked for; whether it was late."""
    start = time.monotonic()
    while process.poll() is None:
        listen()
        late = timeout is not None and time.monotonic() - start > timeout
        if late or request.signal is not None:
            process.terminate()  # it saves what it has
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            return late
        time.sleep(POLL)
    return False


def _outcome(code: int, limit: float | None, last: str) -> Failure | None:
    """What an exit code means; limit: the seconds that it was ended after, if it was."""
    for kind in (UserError, StorageError, LockedError):
        if code == kind.code:
            raise kind(last.removeprefix("da-bench: "))
    if code == 0:
        return None
    return Failure("timeout", f"not done after {limit:g} seconds") if limit else _failure(code, last)


def _failure(code: int, last: str) -> Failure:
    if code == OUT_OF_MEMORY:
        return Failure("out_of_memory", last)
    if code == -signal.SIGKILL:
        return Failure("killed", "by signal 9, as systems do with what takes too much memory")
    if code < 0:
        return Failure("aborted", f"by signal {-code} ({signal.Signals(-code).name}); {last}")
    return Failure("error", last)


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    lines = [line for line in file.read().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"


def sources(one: Experiment) -> list[str]:
    """What another process must load to know the run's method and network: names of modules, paths of files.

    Raises:
        UserError: a class was not defined in a file.
    """
    return sorted({_source(type(thing)) for thing in (one.method, one.network)})


def _source(cls: type) -> str:
    if cls.__module__ in sys.modules and cls.__module__ != "__main__":
        return cls.__module__
    functions = [fn for fn in vars(cls).values() if hasattr(fn, "__code__")]
    # by their globals: what a decorator adds to a class is of its module by name only
    own = [fn for fn in functions if fn.__globals__.get("__name__") == cls.__module__]
    found = [path for fn in own if (path := Path(fn.__code__.co_filename)).is_file()]
    if not found:
        raise UserError(f"Options.isolate: {cls.__name__} is not defined in a file, which another process could load")
    return os.path.abspath(found[0])
