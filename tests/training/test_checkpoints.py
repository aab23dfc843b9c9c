"""A checkpoint comes back bit for bit or not at all; what is damaged is said, and the one before it is used."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from da_bench.core.config import StorageError
from da_bench.training import checkpoints
from da_bench.training.checkpoints import MANIFEST, Checkpoint, Checkpoints, remove_published, verify

IDS, DATA = ["aa", "bb", "cc"], "fingerprint"


def saved(step, runs=3):
    generator = np.random.default_rng(step)
    leaves = {
        "carry/0": generator.normal(size=(runs, 4, 3)).astype(np.float32),
        "carry/1": generator.integers(0, 2**32, (runs, 2), np.uint32),
        "carry/2": generator.normal(size=(runs,)),
        "look/0/0": generator.normal(size=(runs, 2, 5)).astype(np.float32),
    }
    return Checkpoint(step, step / 3, leaves, "c0ffee")


def same(one, other):
    """Bit for bit, types and shapes too."""
    kinds = [{k: (v.dtype, v.shape, v.tobytes()) for k, v in each.arrays.items()} for each in (one, other)]
    return (one[:2], one.commit) == (other[:2], other.commit) and kinds[0] == kinds[1]


@pytest.fixture
def store(tmp_path):
    return Checkpoints(tmp_path, IDS, DATA)


@pytest.fixture
def told():
    return []


def files(store):
    return sorted(path for path in store.own.rglob("*") if path.is_file())


def steps(store):
    return sorted(path.name for path in store.own.iterdir())


def test_what_is_saved_comes_back(store, told):
    assert store.latest(told.append) is None
    store.save(saved(7))
    assert same(store.latest(told.append), saved(7))
    assert told == []


@pytest.mark.parametrize("kind", ["float64", "bfloat16", "bool", "int32"])
def test_every_type_of_array_comes_back(kind, store, told):
    leaves = {"carry/0": np.arange(6).reshape(3, 2).astype(kind), "carry/1": np.zeros((3, 0, 2), kind)}
    store.save(Checkpoint(1, 0.5, leaves, None))
    assert same(store.latest(told.append), Checkpoint(1, 0.5, leaves, None))


def test_the_last_two_are_kept_and_nothing_else(store):
    for step in (3, 5, 900, 1001):
        store.save(saved(step))
    assert steps(store) == ["000000900", "000001001"]


def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(store, told):
    store.save(saved(3))
    store.save(saved(5))
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    assert same(store.latest(told.append), saved(3))
    (line,) = told
    assert "000000005' is damaged or of another version (MANIFEST differs from what was written)" in line
    (store.own / "000000003" / MANIFEST).unlink()
    assert store.latest(told.append) is None
    assert len(told) == 3


def test_one_that_is_made_anew_takes_the_place_of_a_damaged_one(store, told):
    for step in (3, 5):
        store.save(saved(step))
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    store.save(saved(5))
    assert same(store.latest(told.append), saved(5))
    assert told == []


@pytest.mark.parametrize("first", [1, 4])
def test_runs_that_start_anew_are_not_held_up_by_what_they_cannot_use(first, store, told):
    """Checkpoints ahead of the one that is saved are damaged or of other code: they go, not the new one."""
    for step in (3, 5):
        store.save(saved(step))
    store.save(saved(first))
    assert same(store.latest(told.append), saved(first))
    assert "000000005" not in steps(store)


@pytest.mark.parametrize("ids", [["cc"], ["cc", "aa"], ["bb", "cc", "aa"]])
def test_some_of_a_group_are_served_by_the_checkpoint_of_all(ids, store, told):
    store.save(saved(5))
    found = Checkpoints(store.folder, ids, DATA).latest(told.append)
    rows = [IDS.index(one) for one in ids]
    assert same(found, Checkpoint(5, 5 / 3, {name: leaf[rows] for name, leaf in saved(5).arrays.items()}, "c0ffee"))


def test_runs_of_another_group_are_not_served(store, told):
    store.save(saved(5))
    assert Checkpoints(store.folder, ["cc", "dd"], DATA).latest(told.append) is None
    assert told == []


@pytest.mark.parametrize("ids", [IDS, ["bb"]], ids=["all", "some"])
def test_one_of_other_data_is_not_used_and_that_is_said(ids, store, told):
    store.save(saved(5))
    assert Checkpoints(store.folder, ids, "other").latest(told.append) is None
    (line,) = told
    assert "000000005' is of other data" in line


def test_one_of_these_data_is_used_behind_one_of_other_data(store, told):
    store.save(saved(3))
    Checkpoints(store.folder, IDS, "other").save(saved(5))
    assert same(store.latest(told.append), saved(3))
    assert len(told) == 1


def test_the_manifest_says_what_the_runs_were_begun_with(store):
    store.save(saved(5))
    manifest = verify(store.own / "000000005")
    assert (manifest["commit"], manifest["data"]) == ("c0ffee", DATA)


def test_what_its_owner_is_removing_is_no_damage(store, told, monkeypatch):
    store.save(saved(5))
    digests = checkpoints._digests

    def late(place):
        shutil.rmtree(place)
        return digests(place)

    monkeypatch.setattr(checkpoints, "_digests", late)
    assert Checkpoints(store.folder, ["aa"], DATA).latest(told.append) is None
    assert told == []


def test_cleared_nothing_is_left(store, tmp_path):
    other = Checkpoints(tmp_path, ["dd"], DATA)
    store.save(saved(5))
    other.save(saved(5, 1))
    store.clear()
    assert list(tmp_path.iterdir()) == [other.own]
    other.clear()
    assert not tmp_path.exists()
    other.clear()  # twice is no fault


def test_killed_while_removing_the_rest_goes_with_the_next_tidying(store, tmp_path, told, monkeypatch):
    store.save(saved(5))
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda *_, **__: None)
    store.clear()
    assert tmp_path.exists()
    monkeypatch.undo()
    assert store.latest(told.append) is None
    assert told == []
    remove_published(tmp_path, lambda _: False)
    assert not tmp_path.exists()


def test_tidy_removes_those_whose_runs_are_all_on_record(store, tmp_path):
    other = Checkpoints(tmp_path, ["dd"], DATA)
    store.save(saved(5))
    other.save(saved(5, 1))
    remove_published(tmp_path, {"aa", "bb", "dd"}.__contains__)
    assert store.own.is_dir()
    assert not other.own.exists()
    (store.own / "000000005" / MANIFEST).write_bytes(b"")
    remove_published(tmp_path, lambda _: True)
    assert store.own.is_dir()  # nobody knows whose it is
    remove_published(tmp_path / "nowhere", lambda _: True)


def refuse(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("place", ["_require_space", "_write_arrays", "_write_manifest", "publish_folder"])
def test_a_full_disk_is_one_message_and_costs_nothing(place, store, told, monkeypatch):
    store.save(saved(3))
    before = {path: path.read_bytes() for path in files(store)}
    monkeypatch.setattr(checkpoints, place, refuse)
    with pytest.raises(StorageError, match=r"cannot save a checkpoint .*No space left.*the same command"):
        store.save(saved(5))
    monkeypatch.undo()
    there = {path: path.read_bytes() for path in files(store)}
    assert before.items() <= there.items()
    assert not (store.own / ".draft").exists()
    assert store.latest(told.append).step in (3, 5)
    assert told == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot save a checkpoint"):
        Checkpoints(tmp_path / "file", IDS, DATA).save(saved(3))


def test_a_draft_that_a_killed_process_left_is_no_checkpoint(store, told):
    store.save(saved(3))
    (store.own / "000000003").rename(store.own / ".draft")
    assert store.latest(told.append) is None
    store.save(saved(5))
    assert steps(store) == ["000000005"]


def test_a_manifest_of_another_step_is_refused(store):
    store.save(saved(3))
    place = (store.own / "000000003").rename(store.own / "000000004")
    with pytest.raises(ValueError, match="MANIFEST is of another"):
        verify(place)


def test_a_manifest_of_another_format_is_refused(store):
    store.save(saved(3))
    path = store.own / "000000003" / MANIFEST
    body = json.dumps({**json.loads(path.read_bytes().partition(b"\n")[2]), "format": checkpoints.FORMAT + 1}).encode()
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with pytest.raises(ValueError, match=f"format {checkpoints.FORMAT + 1}"):
        verify(path.parent)


def damages(content, generator):
    """Two flipped bits, one byte more, one byte less, nothing at all."""
    yield content + b"\0"
    for _ in range(2 if content else 0):
        at, bit = generator.integers(len(content)), generator.integers(8)
        yield content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
    yield from [content[:-1], b""] if content else []


def test_any_damage_to_any_file_is_detected(store, rng):
    store.save(saved(5))
    place, count = store.own / "000000005", 0
    for path in files(store):
        content = path.read_bytes()
        for damaged in damages(content, rng):
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match="differs from what was written"):
                verify(place)
            count += 1
        path.unlink()
        with pytest.raises((ValueError, FileNotFoundError)):
            verify(place)
        path.write_bytes(content)
    assert count >= 50
    (place / "arrays" / "extra").write_bytes(b"1")
    with pytest.raises(ValueError, match="extra differs from what was written"):
        verify(place)
