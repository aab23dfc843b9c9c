"""Files and folders appear complete or not at all; one function says where caches lie."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from da_bench.core import storage
from da_bench.core.config import StorageError
from da_bench.core.storage import atomic_file, cache_folder, publish_folder, remove_folder, write_atomic

# writes two contents in turn, of a length that takes several system calls, until it is killed
WRITER = """
import sys
from pathlib import Path
from da_bench.core.storage import write_atomic
while True:
    for letter in "ab":
        write_atomic(Path(sys.argv[1]), letter * 3_000_000)
"""


def no_space(*_arguments, **_options):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("content", ["Österreich\n", b"\x00\xff", b""])
def test_write_atomic_writes_text_as_utf8_and_bytes_as_they_are(tmp_path, content):
    path = tmp_path / "new" / "folder" / "file"
    assert write_atomic(path, content) == path
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [item.name for item in path.parent.iterdir()] == ["file"]


def test_file_can_be_read_by_others(tmp_path):
    """A file of mode 0600, as tempfile makes them, would be hidden from a web server or a colleague."""
    mask = os.umask(0o022)
    try:
        assert write_atomic(tmp_path / "file", "text").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(mask)


def test_file_is_replaced_only_at_the_end(tmp_path):
    path = write_atomic(tmp_path / "file", "old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_error_while_writing_leaves_the_old_file_and_no_temporary_file(tmp_path):
    path = write_atomic(tmp_path / "file", "old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.writelines([b"new", None])
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_is_a_storage_error_with_path_and_remedy(tmp_path, monkeypatch, call):
    path = write_atomic(tmp_path / "file", "old")
    monkeypatch.setattr(storage.os, call, no_space)
    with pytest.raises(StorageError, match=r"cannot write '.*file': No space left on device; choose another --out"):
        write_atomic(path, "new", "choose another --out")
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("blocked", ["a folder", "below a file"])
def test_path_that_cannot_be_a_file_is_an_error(tmp_path, blocked):
    write_atomic(tmp_path / "file", "old")
    with pytest.raises(StorageError, match="cannot write '"):
        write_atomic(tmp_path if blocked == "a folder" else tmp_path / "file" / "below", "new")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_link_and_device_are_kept(tmp_path):
    path = write_atomic(tmp_path / "file", "old")
    link = tmp_path / "link"
    link.symlink_to(path)
    write_atomic(link, "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    write_atomic(Path("/dev/null"), "anything")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_killed_writer_leaves_a_complete_file(tmp_path, delay):
    path = tmp_path / "file"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
        while not path.exists():
            time.sleep(0.01)
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
    assert set(path.read_text()) in ({"a"}, {"b"})
    assert path.stat().st_size == 3_000_000


def test_publish_folder_appears_once_and_flushed(tmp_path, monkeypatch):
    draft, folder = tmp_path / "draft", tmp_path / "folder"
    for name in ("one", "sub/two"):
        write_atomic(draft / name, name)
    flushed, fsync = set(), os.fsync

    def record_fsync(handle):
        flushed.add(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(storage.os, "fsync", record_fsync)
    publish_folder(draft, folder)
    assert {str(draft), *(str(draft / name) for name in ("one", "sub", "sub/two")), str(tmp_path)} <= flushed
    assert not draft.exists()
    write_atomic(draft / "three", "3")
    with pytest.raises(OSError, match="not empty"):
        publish_folder(draft, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["one", "sub"]


def test_remove_folder_removes_a_folder_and_leftovers(tmp_path):
    write_atomic(tmp_path / "folder" / "file", "")
    write_atomic(tmp_path / ".folder-removed" / "left by a killed process", "")
    remove_folder(tmp_path / "folder")
    remove_folder(tmp_path / "folder")  # a missing one is no error
    assert not list(tmp_path.iterdir())


def test_cache_folder_follows_the_environment_variables(tmp_path, monkeypatch):
    for name in ("DA_BENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder("packs") == Path.home() / ".cache" / "da-bench" / "packs"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert cache_folder("packs") == Path.home() / ".cache" / "da-bench" / "packs"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("packs") == tmp_path / "da-bench" / "packs"
    monkeypatch.setenv("DA_BENCH_CACHE", str(tmp_path / "mine"))
    assert cache_folder("packs") == tmp_path / "mine" / "packs"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("variable", "folder"), [("DA_BENCH_CACHE", "programs"), ("XDG_CACHE_HOME", "da-bench/programs")]
)
def test_compiled_programs_lie_in_the_same_cache(tmp_path, variable, folder):
    """A run of the command line writes its compiled programs below the cache folder, like every other cache."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DA_BENCH_CACHE", "JAX_"))}
    environment = {**inherited, variable: str(tmp_path / "cache"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "da_bench", "run", "source_only", "--task", "moons/35", "--seeds", "1", "--quiet"]
    command += ["--training.steps", "2", "--training.evaluations", "1", "--results", str(tmp_path / "results")]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120, cwd=tmp_path)
    assert list((tmp_path / "cache" / folder).glob("*-cache"))
