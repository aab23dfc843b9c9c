import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import StorageError, UserError
from da_bench.data import image_cache
from da_bench.data.folders import list_classes
from da_bench.data.image_cache import open_cached, prepare, verify
from da_bench.data.images import decode, dhash, resize
from tests.helpers import corpus
from tests.helpers.corpus import write, write_classes

SIDE = 6


@pytest.fixture
def data_folder(tmp_path):
    return write_classes(tmp_path / "data_folder", cat=3, dog=4)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def prepare_pets(data_folder, cache, side=SIDE, how="squash"):
    return prepare(list_classes(data_folder), "pets/photo", side, how, cache)


def cache_folder(cache_entry):
    return Path(cache_entry.images.filename).parent


@pytest.mark.parametrize("how", ["squash", "centre"])
def test_cache_holds_every_decoded_and_resized_image(data_folder, cache, how):
    cache_entry = prepare_pets(data_folder, cache, how=how)
    listing = list_classes(data_folder)
    for row, (file, label) in enumerate(zip(listing.files, listing.labels, strict=True)):
        image = decode(data_folder / file)
        np.testing.assert_array_equal(cache_entry.images[row], resize(image, SIDE, how))
        sha256 = hashlib.sha256((data_folder / file).read_bytes()).hexdigest()
        assert cache_entry.entries[row] == (file, label, sha256, 10, 12, dhash(image))
        assert cache_entry.classes[cache_entry.labels[row]] == label
    assert cache_entry.images.shape == (7, SIDE, SIDE, 3)
    assert (cache_entry.images.dtype, cache_entry.labels.dtype) == (np.uint8, np.int32)
    assert cache_entry.classes == ("cat", "dog")
    assert not cache_entry.images.flags.writeable
    assert cache_entry.examples() == (cache_entry.images, cache_entry.labels, cache_entry.classes)


def test_cache_folder_holds_three_files_and_its_settings(data_folder, cache):
    cache_entry = prepare_pets(data_folder, cache)
    assert cache_folder(cache_entry).name.startswith("pets-photo-6-squash-")
    assert sorted(os.listdir(cache_folder(cache_entry))) == ["images.npy", "index.jsonl", "pack.json"]
    assert [name for name in os.listdir(cache) if not name.endswith(".lock")] == [cache_folder(cache_entry).name]
    summary = json.loads((cache_folder(cache_entry) / "pack.json").read_text())
    assert (summary["count"], summary["side"], summary["how"], summary["digest"]) == (
        7,
        SIDE,
        "squash",
        cache_entry.digest,
    )
    assert summary["decoder"]["pillow"]


def test_second_call_reuses_the_cache(data_folder, cache, monkeypatch):
    cache_entry = prepare_pets(data_folder, cache)
    monkeypatch.setattr(image_cache, "_build", lambda *_: pytest.fail("prepared again"))
    again = prepare_pets(data_folder, cache)
    assert again.digest == cache_entry.digest
    np.testing.assert_array_equal(again.images, cache_entry.images)
    assert again.entries == cache_entry.entries


def test_digest_depends_only_on_images_labels_and_classes(data_folder, cache, tmp_path):
    cache_entry = prepare_pets(data_folder, cache)
    moved = tmp_path / "moved"
    shutil.copytree(data_folder, moved)
    assert cache_folder(prepare_pets(moved, cache)) != cache_folder(cache_entry)
    assert prepare_pets(moved, cache).digest == cache_entry.digest
    (moved / "cat").rename(moved / "cow")
    assert prepare_pets(moved, cache).digest != cache_entry.digest
    shutil.move(moved / "dog" / "0.png", moved / "cow" / "9.png")
    assert prepare_pets(moved, cache).digest not in (
        cache_entry.digest,
        prepare_pets(data_folder, cache, side=5).digest,
    )


def test_flipped_bit_changes_the_cache_folder_and_the_hash(tmp_path, cache):
    data_folder = tmp_path / "data_folder"
    content = corpus.encode(corpus.photo(), format="BMP")
    path = write(data_folder / "cat" / "0.bmp", content)
    before = prepare_pets(data_folder, cache)
    write(path, content[:-1] + bytes([content[-1] ^ 1]))
    after = prepare_pets(data_folder, cache)
    assert cache_folder(after) != cache_folder(before)
    assert after.entries[0].sha256 != before.entries[0].sha256


def test_new_modification_time_changes_the_cache_folder(data_folder, cache):
    before = prepare_pets(data_folder, cache)
    os.utime(data_folder / "cat" / "0.png", ns=(0, 1))
    assert cache_folder(prepare_pets(data_folder, cache)) != cache_folder(before)
    assert prepare_pets(data_folder, cache).digest == before.digest


def test_all_valid_images_of_the_corpus_are_cached(tmp_path, cache):
    for name, (content, _) in corpus.FLAT.items():
        write(tmp_path / "data_folder" / "all" / name, content)
    cache_entry = prepare_pets(tmp_path / "data_folder", cache, side=2)
    for image, entry in zip(cache_entry.images, cache_entry.entries, strict=True):
        colour = corpus.FLAT[entry.file.removeprefix("all/")][1]
        np.testing.assert_allclose(image, np.broadcast_to(colour, (2, 2, 3)), atol=1)


def test_bad_images_are_reported_together_and_nothing_is_left(data_folder, cache):
    for name, (content, _) in corpus.BAD.items():
        write(data_folder / "dog" / name, content)
    with pytest.raises(UserError) as caught:
        prepare_pets(data_folder, cache)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{len(corpus.BAD)} images of '{data_folder}' cannot be used:"
    assert [line.split("dog/")[1].split("'")[0] for line in lines[1:]] == sorted(corpus.BAD)
    assert all(name.endswith(".lock") for name in os.listdir(cache))


def test_error_lists_twenty_bad_images_and_counts_the_rest(data_folder, cache):
    for i in range(25):
        write(data_folder / "cat" / f"bad{i:02}.jpg", b"")
    with pytest.raises(UserError, match=r"25 images of (.*\n){20}.*bad19\.jpg.*\n  \.\.\. and 5 more$"):
        prepare_pets(data_folder, cache)


def test_single_bad_image_is_reported_in_one_line(data_folder, cache):
    write(data_folder / "cat" / "bad.jpg", b"")
    with pytest.raises(UserError, match=r"^cannot use the image '.*bad\.jpg': it is empty; .*$"):
        prepare_pets(data_folder, cache)


def test_file_deleted_after_listing_is_named(data_folder, cache):
    listing = list_classes(data_folder)
    (data_folder / "cat" / "1.png").unlink()
    with pytest.raises(UserError, match=r"cat/1\.png': No such file"):
        prepare(listing, "pets", SIDE, "squash", cache)


class ProcessKilled(BaseException):
    pass


def kill_at_flush(flush, monkeypatch):
    """Make flush number `flush` fail as if the process were killed before it reaches the disk."""
    fsync, flushes = os.fsync, []

    def die(handle):
        flushes.append(handle)
        if len(flushes) == flush:
            raise ProcessKilled
        fsync(handle)

    monkeypatch.setattr(os, "fsync", die)


def record_decoded_rows(monkeypatch):
    """Return a list that collects the rows decoded from now on."""
    decode_row, rows = image_cache._decode_row, []

    def count_and_decode(recipe, row):
        rows.append(row)
        return decode_row(recipe, row)

    monkeypatch.setattr(image_cache, "_decode_row", count_and_decode)
    return rows


@pytest.mark.parametrize("flush", range(1, 11))
def test_preparation_resumes_after_a_kill_at_any_flush(data_folder, cache, tmp_path, monkeypatch, flush):
    # Seven images are saved in twos: (images, index) 4 times, then pack.json, then the folder after the renaming.
    uninterrupted = prepare_pets(data_folder, tmp_path / "uninterrupted")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    with monkeypatch.context() as patch:
        kill_at_flush(flush, patch)
        with pytest.raises(ProcessKilled):
            prepare_pets(data_folder, cache)
    rows = record_decoded_rows(monkeypatch)
    again = prepare_pets(data_folder, cache)
    assert (again.digest, again.entries) == (uninterrupted.digest, uninterrupted.entries)
    saved = 2 * (flush // 2)  # the lines reach the file before they are flushed: a killed process loses neither
    assert sorted(rows) == list(range(min(saved, 7), 7))
    verify(again)


def test_bad_image_is_reported_again_after_a_kill(data_folder, cache, monkeypatch):
    write(data_folder / "cat" / "1.png", b"")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 1)

    def die(_):
        raise ProcessKilled

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(ProcessKilled):
            prepare_pets(data_folder, cache)
    assert next(cache.glob("*.draft/index.jsonl")).read_bytes().count(b"\n") == 1
    with pytest.raises(UserError, match=r"cat/1\.png': it is empty"):
        prepare_pets(data_folder, cache)


VALID_ROWS = {
    "half a line": 3,
    "a line without its image": 2,
    "a line of garbage": 1,
    "a line of another image": 1,
    "images without lines": 0,
    "half a header": 0,
}


@pytest.mark.parametrize("damage", VALID_ROWS)
def test_torn_draft_is_resumed_from_its_last_valid_row(data_folder, cache, tmp_path, monkeypatch, damage):
    uninterrupted = prepare_pets(data_folder, tmp_path / "uninterrupted")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    with monkeypatch.context() as patch:
        kill_at_flush(5, patch)
        with pytest.raises(ProcessKilled):
            prepare_pets(data_folder, cache)
    draft = next(cache.glob("*.draft"))
    damage_draft(draft / "images.npy", draft / "index.jsonl", damage)
    rows = record_decoded_rows(monkeypatch)
    again = prepare_pets(data_folder, cache)
    assert (again.digest, again.entries) == (uninterrupted.digest, uninterrupted.entries)
    assert sorted(rows) == list(range(VALID_ROWS[damage], 7))


def damage_draft(images, index, damage):
    row = 3 * SIDE**2
    if damage == "half a line":
        os.truncate(index, index.stat().st_size - 5)
    elif damage == "a line without its image":
        os.truncate(images, 128 + 3 * row - 1)
    elif damage.startswith("a line of"):
        lines = index.read_bytes().splitlines(keepends=True)
        lines[1] = b"garbage\n" if damage == "a line of garbage" else lines[0]
        index.write_bytes(b"".join(lines))
    elif damage == "images without lines":
        os.truncate(index, 0)
    else:
        os.truncate(images, 100)


SCRIPT = """
import sys, time
from pathlib import Path
from da_bench.data import image_cache
from da_bench.data.folders import list_classes

image_cache.SAVE_EVERY = 1
decode = image_cache._decode_row
rows = []

def slow(recipe, row):
    time.sleep(float(sys.argv[3]))
    rows.append(row)
    return decode(recipe, row)

image_cache._decode_row = slow
cache_entry = image_cache.prepare(list_classes(Path(sys.argv[1])), "pets/photo", 6, "squash", Path(sys.argv[2]), True)
print(len(rows), cache_entry.digest)
"""


def start(data_folder, cache, pause):
    command = [sys.executable, "-c", SCRIPT, str(data_folder), str(cache), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(cache, count):
    for _ in range(1000):
        if any(path.read_bytes().count(b"\n") >= count for path in cache.glob("*.draft/index.jsonl")):
            return
        time.sleep(0.02)
    pytest.fail("nothing was prepared")


@pytest.mark.processes
def test_preparation_resumes_after_sigkill(tmp_path, cache, monkeypatch):
    data_folder = write_classes(tmp_path / "data_folder", cat=20, dog=20)
    with start(data_folder, cache, 0.1) as process:
        wait_for_lines(cache, 3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    saved = next(cache.glob("*.draft/index.jsonl")).read_bytes().count(b"\n")
    assert 3 <= saved < 40
    rows = record_decoded_rows(monkeypatch)
    again = prepare_pets(data_folder, cache)
    assert sorted(rows) == list(range(saved, 40))
    assert again.digest == prepare_pets(data_folder, tmp_path / "uninterrupted").digest


def test_concurrent_processes_prepare_the_cache_once(data_folder, cache):
    with start(data_folder, cache, 0.3) as first, start(data_folder, cache, 0.3) as second:
        outputs = [process.communicate(timeout=60) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    counts, digests = zip(*(out.split() for out, _ in outputs), strict=True)
    assert sorted(counts) == ["0", "7"]
    assert len(set(digests)) == 1
    waited = [error for _, error in outputs if "waiting for process" in error]
    assert len(waited) == 1
    assert str({"0": second, "7": first}[counts[0]].pid) in waited[0]


@pytest.mark.parametrize("name", ["images.npy", "index.jsonl", "pack.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "long", "head"])
def test_damaged_cache_is_refused(data_folder, cache, name, damage):
    folder = cache_folder(prepare_pets(data_folder, cache))
    path = folder / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "short": content[:-2], "long": content + b" 1", "head": b"!" + content[1:]}[damage]
        )
    with pytest.raises(UserError, match=rf"the image cache '{folder}' is damaged \(.*\): delete that folder"):
        open_cached(folder)
    with pytest.raises(UserError, match="delete that folder"):
        prepare_pets(data_folder, cache)


def test_changed_label_is_detected(data_folder, cache):
    folder = cache_folder(prepare_pets(data_folder, cache))
    path = folder / "index.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cat"', b'"dog"', 1))
    with pytest.raises(UserError, match=r"damaged \(.*index\.jsonl does not belong to pack\.json"):
        open_cached(folder)


@pytest.mark.parametrize("summary", ["[]", "{}", "1", '{"digest": 1, "side": 6}'])
def test_invalid_summary_is_refused(data_folder, cache, summary):
    folder = cache_folder(prepare_pets(data_folder, cache))
    write(folder / "pack.json", summary.encode())
    with pytest.raises(UserError, match="is damaged"):
        open_cached(folder)


def test_verify_detects_a_flipped_pixel(data_folder, cache):
    cache_entry = prepare_pets(data_folder, cache)
    verify(cache_entry)
    path = cache_folder(cache_entry) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="are not those that were prepared"):
        verify(open_cached(cache_folder(cache_entry)))


def test_too_little_disk_space_is_reported_before_decoding(data_folder, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    rows = record_decoded_rows(monkeypatch)
    with pytest.raises(UserError, match=r"0\.00 GB left, but the images of .* at 6 pixels"):
        prepare_pets(data_folder, cache)
    assert not rows


def test_preparation_resumes_after_the_disk_was_full(data_folder, cache, monkeypatch):
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    save, saves = image_cache._save, []

    def raise_disk_full(*arguments):
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        saves.append(save(*arguments))

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "_save", raise_disk_full)
        with pytest.raises(
            StorageError, match=r"write the image cache '.*': No space left on device; .*DA_BENCH_CACHE"
        ):
            prepare_pets(data_folder, cache)
    rows = record_decoded_rows(monkeypatch)
    verify(prepare_pets(data_folder, cache))
    assert sorted(rows) == [4, 5, 6]


def test_cache_path_that_is_a_file_is_refused(data_folder, tmp_path):
    with pytest.raises(StorageError, match=r"write the image cache '.*': .*; .*DA_BENCH_CACHE"):
        prepare_pets(data_folder, write(tmp_path / "file", b""))


@pytest.mark.parametrize(
    ("side", "how", "message"),
    [
        (0, "squash", "images of 0 pixels a side"),
        (6, "squish", "unknown way to resize 'squish'; did you mean 'squash'"),
    ],
)
def test_invalid_settings_are_refused(data_folder, cache, side, how, message):
    with pytest.raises(UserError, match=message):
        prepare_pets(data_folder, cache, side, how)


def test_empty_listing_is_refused(data_folder, cache):
    with pytest.raises(UserError, match="'pets' lists no images under"):
        prepare(list_classes(data_folder)._replace(files=(), labels=()), "pets", SIDE, "squash", cache)


def test_name_cannot_leave_the_cache(data_folder, cache):
    assert cache_folder(prepare(list_classes(data_folder), "../up/x", SIDE, "squash", cache)).parent == cache


@pytest.fixture(scope="module")
def dslr():
    root = os.environ.get("DA_BENCH_DATA")
    data_folder = Path(root or ".", "office31", "dslr", "images")
    if not root or not data_folder.is_dir():
        pytest.skip("needs the real office31 files: set DA_BENCH_DATA to a folder that has office31/")
    return list_classes(data_folder)


def test_office31_dslr(dslr, cache):
    cache_entry = prepare(dslr, "office31/dslr", 16, "squash", cache)
    # Saenko et al. 2010: 498 photographs of 31 classes.
    assert cache_entry.images.shape == (498, 16, 16, 3)
    assert len(cache_entry.classes) == 31
    image = Image.open(dslr.folder / dslr.files[0]).convert("RGB")
    assert cache_entry.entries[0][3:5] == image.size
    np.testing.assert_array_equal(cache_entry.images[0], image.resize((16, 16), Image.Resampling.BILINEAR))
