"""A lock has one holder, ends with it however it ends, and leaves no file."""

import os
import signal
import subprocess
import sys

import pytest

from da_bench.core import locks
from da_bench.core.config import StorageError
from da_bench.core.locks import HeldError, hold

HOLDER = """
import sys, time
from pathlib import Path
from da_bench.core.locks import hold
with hold([Path(sys.argv[1])]):
    print("held", flush=True)
    sys.stdin.read()
"""
# takes and gives up the lock as often as it can, and counts within it in a file, read and written in two steps
COUNTER = """
import sys
from pathlib import Path
from da_bench.core.locks import HeldError, hold
lock, number, left = Path(sys.argv[1]), Path(sys.argv[2]), 50
while left:
    try:
        with hold([lock]):
            number.write_text(str(int(number.read_text()) + 1))
            left -= 1
    except HeldError:
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
    with pytest.raises(HeldError, match=rf"process {holder.pid} holds .*\.lock") as caught, hold([path]):
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
    with hold([path]):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()


def test_all_or_none(path, holder, tmp_path):
    free = tmp_path / ".a"  # sorted before the one that is held
    with pytest.raises(HeldError), hold([path, free]):
        pass
    assert not free.exists()


def test_an_error_within_gives_it_up(path):
    with pytest.raises(ZeroDivisionError), hold([path]):
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
    with hold([path]):
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
    with pytest.raises(StorageError, match=r"cannot lock '.*': No space left on device; make room"), hold([path]):
        pass
    monkeypatch.undo()
    assert not path.exists()
    with hold([path]):  # and it is free
        assert path.exists()
