"""A lock has one holder, is released when its process ends for any reason, and leaves no file."""

import os
import signal
import subprocess
import sys

import pytest

from da_bench.core import locks
from da_bench.core.config import StorageError
from da_bench.core.locks import LockedError, hold_locks

HOLDER = """
import sys, time
from pathlib import Path
from da_bench.core.locks import hold_locks
with hold_locks([Path(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""
# takes and releases the lock repeatedly; while it holds the lock it increments a number in a file, in two steps
COUNTER = """
import sys
from pathlib import Path
from da_bench.core.locks import LockedError, hold_locks
lock, number, left = Path(sys.argv[1]), Path(sys.argv[2]), 50
while left:
    try:
        with hold_locks([lock]):
            number.write_text(str(int(number.read_text()) + 1))
            left -= 1
    except LockedError:
        continue
"""


def python(script, *arguments, **streams):
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], text=True, **streams)


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock."""
    with python(HOLDER, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_error_names_the_process_that_holds_the_lock(path, holder):
    with pytest.raises(LockedError, match=rf"process {holder.pid} holds .*\.lock") as caught, hold_locks([path]):
        pass
    assert caught.value.code == 75


def test_a_lock_is_released_when_its_holder_ends(path, holder):
    holder.stdin.close()
    assert holder.wait() == 0
    assert not path.exists()


def test_a_lock_is_released_when_its_holder_is_killed(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.exists()
    with hold_locks([path]):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_several_locks_are_taken_together_or_not_at_all(path, holder, tmp_path):
    free = tmp_path / ".a"  # sorted before the lock of the other process
    with pytest.raises(LockedError), hold_locks([path, free]):
        pass
    assert not free.exists()


def test_an_error_in_the_block_releases_the_lock(path):
    with pytest.raises(ZeroDivisionError), hold_locks([path]):
        raise ZeroDivisionError
    assert not path.exists()


def test_a_file_removed_between_opening_and_locking_is_opened_again(path, monkeypatch):
    """The previous holder removed it. A lock on a file without a name would not exclude anybody."""
    flock, calls = locks.fcntl.flock, []

    def remove_first(handle, operation):
        calls.append(handle)
        if len(calls) == 1:
            path.unlink()
        flock(handle, operation)

    monkeypatch.setattr(locks.fcntl, "flock", remove_first)
    with hold_locks([path]):
        assert len(calls) == 2
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_two_processes_never_hold_a_lock_at_once(path, tmp_path):
    """Three processes increment a number 50 times each; two at once would lose an increment."""
    number = tmp_path / "number"
    number.write_text("0")
    counters = [python(COUNTER, path, number) for _ in range(3)]
    assert [counter.wait() for counter in counters] == [0, 0, 0]
    assert number.read_text() == "150"
    assert not path.exists()


@pytest.mark.parametrize("call", ["open", "write", "truncate"])
def test_a_lock_that_cannot_be_written_is_an_error(call, path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, call, full)
    with pytest.raises(StorageError, match=r"cannot lock '.*': No space left on device"), hold_locks([path]):
        pass
    monkeypatch.undo()
    assert not path.exists()
    with hold_locks([path]):  # it is free again
        assert path.exists()


def test_a_process_can_wait_for_the_lock(path, holder):
    """It learns the holder's id once, and gets the lock when the holder releases it."""
    waited = []

    def on_wait(process):
        waited.append(process)
        holder.stdin.close()  # this ends the holder

    with hold_locks([path], on_wait=on_wait):
        assert path.read_text() == str(os.getpid())
    assert waited == [str(holder.pid)]
    assert not path.exists()
