"""A lock has one holder, ends with it however it ends, and leaves no file."""

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
# takes and gives up the lock as often as it can, and counts within it in a file, read and written in two steps
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


def test_the_second_process_says_which_holds_it(path, holder):
    with pytest.raises(LockedError, match=rf"process {holder.pid} holds .*\.lock") as caught, hold_locks([path]):
        pass
    assert caught.value.code == 75


def test_it_ends_with_its_holder_and_leaves_no_file(path, holder):
    holder.stdin.close()
    assert holder.wait() == 0
    assert not path.exists()


def test_it_is_free_when_its_holder_is_killed(path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert path.exists()
    with hold_locks([path]):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_all_or_none(path, holder, tmp_path):
    free = tmp_path / ".a"  # sorted before the one that is held
    with pytest.raises(LockedError), hold_locks([path, free]):
        pass
    assert not free.exists()


def test_an_error_within_gives_it_up(path):
    with pytest.raises(ZeroDivisionError), hold_locks([path]):
        raise ZeroDivisionError
    assert not path.exists()


def test_a_file_that_goes_between_opening_and_locking_is_opened_anew(path, monkeypatch):
    """Its holder removed it: a lock on what has no name any more would be a second lock."""
    flock, calls = locks.fcntl.flock, []

    def late(handle, how):
        calls.append(handle)
        if len(calls) == 1:
            path.unlink()
        flock(handle, how)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    with hold_locks([path]):
        assert len(calls) == 2
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_two_holders_never_meet(path, tmp_path):
    """Three processes count to 50 each; a count read by two at once would be lost."""
    number = tmp_path / "number"
    number.write_text("0")
    counters = [python(COUNTER, path, number) for _ in range(3)]
    assert [counter.wait() for counter in counters] == [0, 0, 0]
    assert number.read_text() == "150"
    assert not path.exists()


@pytest.mark.parametrize("call", ["open", "write", "truncate"])
def test_where_it_cannot_be_written_one_message_says_so(call, path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, call, full)
    with pytest.raises(StorageError, match=r"cannot lock '.*': No space left on device"), hold_locks([path]):
        pass
    monkeypatch.undo()
    assert not path.exists()
    with hold_locks([path]):  # and it is free
        assert path.exists()


def test_a_process_can_wait_for_the_lock(path, holder):
    """It learns the holder's id once, and gets the lock when the holder releases it."""
    waited = []

    def on_wait(process):
        waited.append(process)
        holder.stdin.close()  # which ends the holder

    with hold_locks([path], on_wait=on_wait):
        assert path.read_text() == str(os.getpid())
    assert waited == [str(holder.pid)]
    assert not path.exists()
