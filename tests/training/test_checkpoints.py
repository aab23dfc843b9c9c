"""Checkpoints are restored bit for bit or refused; after damage, the previous one is used and a message printed."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from da_bench.core.config import StorageError
from da_bench.training import checkpoints
from da_bench.training.checkpoints import MANIFEST, Checkpoint, Checkpoints, remove_published, verify

IDS, DATA = ["aa", "bb", "cc"], "fingerprint"


def checkpoint(step, runs=3):
    generator = np.random.default_rng(step)
    leaves = {
        "carry/0": generator.normal(size=(runs, 4, 3)).astype(np.float32),
        "carry/1": generator.integers(0, 2**32, (runs, 2), np.uint32),
        "carry/2": generator.normal(size=(runs,)),
        "evaluations/0/0": generator.normal(size=(runs, 2, 5)).astype(np.float32),
    }
    return Checkpoint(step, step / 3, leaves, "c0ffee")


def equal(first, second):
    """Whether two checkpoints are equal bit for bit, including types and shapes."""
    contents = [
        {k: (v.dtype, v.shape, v.tobytes()) for k, v in checkpoint.arrays.items()} for checkpoint in (first, second)
    ]
    return (first[:2], first.commit) == (second[:2], second.commit) and contents[0] == contents[1]


@pytest.fixture
def store(tmp_path):
    return Checkpoints(tmp_path, IDS, DATA)


@pytest.fixture
def messages():
    return []


def files(store):
    return sorted(path for path in store.own.rglob("*") if path.is_file())


def steps(store):
    return sorted(path.name for path in store.own.iterdir())


def test_a_saved_checkpoint_can_be_restored(store, messages):
    assert store.latest(messages.append) is None
    store.save(checkpoint(7))
    assert equal(store.latest(messages.append), checkpoint(7))
    assert messages == []


@pytest.mark.parametrize("kind", ["float64", "bfloat16", "bool", "int32"])
def test_arrays_of_every_type_can_be_restored(kind, store, messages):
    leaves = {"carry/0": np.arange(6).reshape(3, 2).astype(kind), "carry/1": np.zeros((3, 0, 2), kind)}
    store.save(Checkpoint(1, 0.5, leaves, None))
    assert equal(store.latest(messages.append), Checkpoint(1, 0.5, leaves, None))


def test_only_the_last_two_checkpoints_are_kept(store):
    for step in (3, 5, 900, 1001):
        store.save(checkpoint(step))
    assert steps(store) == ["000000900", "000001001"]


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(store, messages):
    store.save(checkpoint(3))
    store.save(checkpoint(5))
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    assert equal(store.latest(messages.append), checkpoint(3))
    (line,) = messages
    assert "000000005' is damaged or of another version (MANIFEST differs from what was written)" in line
    (store.own / "000000003" / MANIFEST).unlink()
    assert store.latest(messages.append) is None
    assert len(messages) == 3


def test_saving_again_replaces_a_damaged_checkpoint(store, messages):
    for step in (3, 5):
        store.save(checkpoint(step))
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    store.save(checkpoint(5))
    assert equal(store.latest(messages.append), checkpoint(5))
    assert messages == []


@pytest.mark.parametrize("first", [1, 4])
def test_saving_removes_later_checkpoints_that_cannot_be_used(first, store, messages):
    """Checkpoints of later steps than the saved one are damaged or of other code, so they are removed."""
    for step in (3, 5):
        store.save(checkpoint(step))
    store.save(checkpoint(first))
    assert equal(store.latest(messages.append), checkpoint(first))
    assert "000000005" not in steps(store)


@pytest.mark.parametrize("ids", [["cc"], ["cc", "aa"], ["bb", "cc", "aa"]])
def test_a_part_of_a_group_is_restored_from_the_checkpoint_of_the_group(ids, store, messages):
    store.save(checkpoint(5))
    restored = Checkpoints(store.folder, ids, DATA).latest(messages.append)
    rows = [IDS.index(run_id) for run_id in ids]
    assert equal(
        restored, Checkpoint(5, 5 / 3, {name: leaf[rows] for name, leaf in checkpoint(5).arrays.items()}, "c0ffee")
    )


def test_runs_of_another_group_are_not_restored(store, messages):
    store.save(checkpoint(5))
    assert Checkpoints(store.folder, ["cc", "dd"], DATA).latest(messages.append) is None
    assert messages == []


@pytest.mark.parametrize("ids", [IDS, ["bb"]], ids=["all", "some"])
def test_a_checkpoint_of_other_data_is_reported_and_not_used(ids, store, messages):
    store.save(checkpoint(5))
    assert Checkpoints(store.folder, ids, "other").latest(messages.append) is None
    (line,) = messages
    assert "000000005' is of other data" in line


def test_an_older_checkpoint_of_the_same_data_is_used_before_one_of_other_data(store, messages):
    store.save(checkpoint(3))
    Checkpoints(store.folder, IDS, "other").save(checkpoint(5))
    assert equal(store.latest(messages.append), checkpoint(3))
    assert len(messages) == 1


def test_the_manifest_names_the_commit_and_data_of_the_first_session(store):
    store.save(checkpoint(5))
    manifest = verify(store.own / "000000005")
    assert (manifest["commit"], manifest["data"]) == ("c0ffee", DATA)


def test_a_checkpoint_that_its_owner_removes_meanwhile_is_not_damaged(store, messages, monkeypatch):
    store.save(checkpoint(5))
    digests = checkpoints._digests

    def remove_first(folder):
        shutil.rmtree(folder)
        return digests(folder)

    monkeypatch.setattr(checkpoints, "_digests", remove_first)
    assert Checkpoints(store.folder, ["aa"], DATA).latest(messages.append) is None
    assert messages == []


def test_clear_leaves_no_file(store, tmp_path):
    other = Checkpoints(tmp_path, ["dd"], DATA)
    store.save(checkpoint(5))
    other.save(checkpoint(5, 1))
    store.clear()
    assert list(tmp_path.iterdir()) == [other.own]
    other.clear()
    assert not tmp_path.exists()
    other.clear()  # a second time is no error


def test_remove_published_completes_a_removal_that_was_killed(store, tmp_path, messages, monkeypatch):
    store.save(checkpoint(5))
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda *_, **__: None)
    store.clear()
    assert tmp_path.exists()
    monkeypatch.undo()
    assert store.latest(messages.append) is None
    assert messages == []
    remove_published(tmp_path, lambda _: False)
    assert not tmp_path.exists()


def test_remove_published_removes_checkpoints_whose_runs_are_all_on_record(store, tmp_path):
    other = Checkpoints(tmp_path, ["dd"], DATA)
    store.save(checkpoint(5))
    other.save(checkpoint(5, 1))
    remove_published(tmp_path, {"aa", "bb", "dd"}.__contains__)
    assert store.own.is_dir()
    assert not other.own.exists()
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    remove_published(tmp_path, lambda _: True)
    assert store.own.is_dir()  # its runs are unknown
    remove_published(tmp_path / "nowhere", lambda _: True)


def refuse(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("function", ["_require_space", "_write_arrays", "_write_manifest", "publish_folder"])
def test_a_full_disk_gives_one_error_and_loses_no_checkpoint(function, store, messages, monkeypatch):
    store.save(checkpoint(3))
    before = {path: path.read_bytes() for path in files(store)}
    monkeypatch.setattr(checkpoints, function, refuse)
    with pytest.raises(StorageError, match=r"checkpoint .*No space left"):
        store.save(checkpoint(5))
    monkeypatch.undo()
    after = {path: path.read_bytes() for path in files(store)}
    assert before.items() <= after.items()
    assert not (store.own / ".draft").exists()
    assert store.latest(messages.append).step in (3, 5)
    assert messages == []


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="checkpoint"):
        Checkpoints(tmp_path / "file", IDS, DATA).save(checkpoint(3))


def test_the_draft_of_a_killed_process_is_not_a_checkpoint(store, messages):
    store.save(checkpoint(3))
    (store.own / "000000003").rename(store.own / ".draft")
    assert store.latest(messages.append) is None
    store.save(checkpoint(5))
    assert steps(store) == ["000000005"]


def test_a_manifest_of_another_step_is_refused(store):
    store.save(checkpoint(3))
    folder = (store.own / "000000003").rename(store.own / "000000004")
    with pytest.raises(ValueError, match="MANIFEST is of another"):
        verify(folder)


def test_a_manifest_of_another_format_is_refused(store):
    store.save(checkpoint(3))
    path = store.own / "000000003" / MANIFEST
    body = json.dumps({**json.loads(path.read_bytes().partition(b"\n")[2]), "format": checkpoints.FORMAT + 1}).encode()
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with pytest.raises(ValueError, match=f"format {checkpoints.FORMAT + 1}"):
        verify(path.parent)


def damages(content, generator):
    """Copies with a byte more, two flipped bits, a byte less, and no content."""
    yield content + b"\0"
    for _ in range(2 if content else 0):
        at, bit = generator.integers(len(content)), generator.integers(8)
        yield content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
    yield from [content[:-1], b""] if content else []


def test_any_damage_to_any_file_is_detected(store, rng):
    store.save(checkpoint(5))
    folder, count = store.own / "000000005", 0
    for path in files(store):
        content = path.read_bytes()
        for damaged in damages(content, rng):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="differs from what was written"):
                verify(folder)
            count += 1
        path.unlink()
        with pytest.raises((ValueError, FileNotFoundError)):
            verify(folder)
        path.write_bytes(content)
    assert count >= 50
    (folder / "arrays" / "extra").write_bytes(b"1")
    with pytest.raises(ValueError, match="extra differs from what was written"):
        verify(folder)
