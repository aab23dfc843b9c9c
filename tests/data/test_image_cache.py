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


def prepared(data_folder, cache, side=SIDE, how="squash"):
    return prepare(list_classes(data_folder), "pets/photo", side, how, cache)


def folder_of(made):
    return Path(made.images.filename).parent


@pytest.mark.parametrize("how", ["squash", "centre"])
def test_pack_holds_every_image_as_decode_row_one_by_one(data_folder, cache, how):
    made = prepared(data_folder, cache, how=how)
    listing = list_classes(data_folder)
    for row, (file, label) in enumerate(zip(listing.files, listing.labels, strict=True)):
        image = decode(data_folder / file)
        np.testing.assert_array_equal(made.images[row], resize(image, SIDE, how))
        sha256 = hashlib.sha256((data_folder / file).read_bytes()).hexdigest()
        assert made.entries[row] == (file, label, sha256, 10, 12, dhash(image))
        assert made.classes[made.labels[row]] == label
    assert made.images.shape == (7, SIDE, SIDE, 3)
    assert (made.images.dtype, made.labels.dtype) == (np.uint8, np.int32)
    assert made.classes == ("cat", "dog")
    assert not made.images.flags.writeable
    assert made.examples() == (made.images, made.labels, made.classes)


def test_folder_holds_three_files_and_says_how_it_was_made(data_folder, cache):
    made = prepared(data_folder, cache)
    assert folder_of(made).name.startswith("pets-photo-6-squash-")
    assert sorted(os.listdir(folder_of(made))) == ["images.npy", "index.jsonl", "pack.json"]
    assert [name for name in os.listdir(cache) if not name.endswith(".lock")] == [folder_of(made).name]
    summary = json.loads((folder_of(made) / "pack.json").read_text())
    assert (summary["count"], summary["side"], summary["how"], summary["digest"]) == (7, SIDE, "squash", made.digest)
    assert summary["decoder"]["pillow"]


def test_prepared_once(data_folder, cache, monkeypatch):
    made = prepared(data_folder, cache)
    monkeypatch.setattr(image_cache, "_build", lambda *_: pytest.fail("prepared again"))
    again = prepared(data_folder, cache)
    assert again.digest == made.digest
    np.testing.assert_array_equal(again.images, made.images)
    assert again.entries == made.entries


def test_digest_is_of_images_labels_and_classes_alone(data_folder, cache, tmp_path):
    made = prepared(data_folder, cache)
    moved = tmp_path / "moved"
    shutil.copytree(data_folder, moved)
    assert folder_of(prepared(moved, cache)) != folder_of(made)
    assert prepared(moved, cache).digest == made.digest
    (moved / "cat").rename(moved / "cow")
    assert prepared(moved, cache).digest != made.digest
    shutil.move(moved / "dog" / "0.png", moved / "cow" / "9.png")
    assert prepared(moved, cache).digest not in (made.digest, prepared(data_folder, cache, side=5).digest)


def test_a_flipped_bit_makes_another_pack_and_another_hash(tmp_path, cache):
    data_folder = tmp_path / "data_folder"
    content = corpus.encode(corpus.photo(), format="BMP")
    path = write(data_folder / "cat" / "0.bmp", content)
    before = prepared(data_folder, cache)
    write(path, content[:-1] + bytes([content[-1] ^ 1]))
    after = prepared(data_folder, cache)
    assert folder_of(after) != folder_of(before)
    assert after.entries[0].sha256 != before.entries[0].sha256


def test_a_touched_file_makes_another_pack(data_folder, cache):
    before = prepared(data_folder, cache)
    os.utime(data_folder / "cat" / "0.png", ns=(0, 1))
    assert folder_of(prepared(data_folder, cache)) != folder_of(before)
    assert prepared(data_folder, cache).digest == before.digest


def test_every_good_image_of_the_corpus_in_one_pack(tmp_path, cache):
    for name, (content, _) in corpus.FLAT.items():
        write(tmp_path / "data_folder" / "all" / name, content)
    made = prepared(tmp_path / "data_folder", cache, side=2)
    for image, entry in zip(made.images, made.entries, strict=True):
        colour = corpus.FLAT[entry.file.removeprefix("all/")][1]
        np.testing.assert_allclose(image, np.broadcast_to(colour, (2, 2, 3)), atol=1)


def test_all_bad_images_are_named_in_one_message_and_nothing_is_left(data_folder, cache):
    for name, (content, _) in corpus.BAD.items():
        write(data_folder / "dog" / name, content)
    with pytest.raises(UserError) as caught:
        prepared(data_folder, cache)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{len(corpus.BAD)} images of '{data_folder}' cannot be used:"
    assert [line.split("dog/")[1].split("'")[0] for line in lines[1:]] == sorted(corpus.BAD)
    assert all(name.endswith(".lock") for name in os.listdir(cache))


def test_twenty_bad_images_are_shown_and_the_others_counted(data_folder, cache):
    for i in range(25):
        write(data_folder / "cat" / f"bad{i:02}.jpg", b"")
    with pytest.raises(UserError, match=r"25 images of (.*\n){20}.*bad19\.jpg.*\n  \.\.\. and 5 more$"):
        prepared(data_folder, cache)


def test_one_bad_image_is_one_line(data_folder, cache):
    write(data_folder / "cat" / "bad.jpg", b"")
    with pytest.raises(UserError, match=r"^cannot use the image '.*bad\.jpg': it is empty; .*$"):
        prepared(data_folder, cache)


def test_file_that_goes_away_is_named(data_folder, cache):
    listing = list_classes(data_folder)
    (data_folder / "cat" / "1.png").unlink()
    with pytest.raises(UserError, match=r"cat/1\.png': No such file"):
        prepare(listing, "pets", SIDE, "squash", cache)


class Killed(BaseException):
    pass


def killed_at(flush, monkeypatch):
    """The process dies at its flush number `flush`, before it reaches the disk."""
    fsync, flushes = os.fsync, []

    def dying(handle):
        flushes.append(handle)
        if len(flushes) == flush:
            raise Killed
        fsync(handle)

    monkeypatch.setattr(os, "fsync", dying)


def decoded(monkeypatch):
    """The rows that are decoded from now on."""
    decode_row, rows = image_cache._decode_row, []

    def counted(recipe, row):
        rows.append(row)
        return decode_row(recipe, row)

    monkeypatch.setattr(image_cache, "_decode_row", counted)
    return rows


@pytest.mark.parametrize("flush", range(1, 11))
def test_killed_at_any_flush_it_goes_on(data_folder, cache, tmp_path, monkeypatch, flush):
    # Seven images, saved by twos: (images, index) 4 times, pack.json, and the folder that it is renamed in.
    whole = prepared(data_folder, tmp_path / "whole")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    with monkeypatch.context() as patch:
        killed_at(flush, patch)
        with pytest.raises(Killed):
            prepared(data_folder, cache)
    rows = decoded(monkeypatch)
    again = prepared(data_folder, cache)
    assert (again.digest, again.entries) == (whole.digest, whole.entries)
    saved = 2 * (flush // 2)  # the lines reach the file before they are flushed: a killed process loses neither
    assert sorted(rows) == list(range(min(saved, 7), 7))
    verify(again)


def test_bad_image_is_not_stepped_over_when_killed_after_it(data_folder, cache, monkeypatch):
    write(data_folder / "cat" / "1.png", b"")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 1)

    def dying(_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", dying)
        with pytest.raises(Killed):
            prepared(data_folder, cache)
    assert next(cache.glob("*.draft/index.jsonl")).read_bytes().count(b"\n") == 1
    with pytest.raises(UserError, match=r"cat/1\.png': it is empty"):
        prepared(data_folder, cache)


TORN = {
    "half a line": 3,
    "a line without its image": 2,
    "a line of garbage": 1,
    "a line of another image": 1,
    "images without lines": 0,
    "half a header": 0,
}


@pytest.mark.parametrize("torn", TORN)
def test_draft_that_a_power_cut_has_torn(data_folder, cache, tmp_path, monkeypatch, torn):
    whole = prepared(data_folder, tmp_path / "whole")
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    with monkeypatch.context() as patch:
        killed_at(5, patch)
        with pytest.raises(Killed):
            prepared(data_folder, cache)
    draft = next(cache.glob("*.draft"))
    tear(draft / "images.npy", draft / "index.jsonl", torn)
    rows = decoded(monkeypatch)
    again = prepared(data_folder, cache)
    assert (again.digest, again.entries) == (whole.digest, whole.entries)
    assert sorted(rows) == list(range(TORN[torn], 7))


def tear(images, index, torn):
    row = 3 * SIDE**2
    if torn == "half a line":
        os.truncate(index, index.stat().st_size - 5)
    elif torn == "a line without its image":
        os.truncate(images, 128 + 3 * row - 1)
    elif torn.startswith("a line of"):
        lines = index.read_bytes().splitlines(keepends=True)
        lines[1] = b"garbage\n" if torn == "a line of garbage" else lines[0]
        index.write_bytes(b"".join(lines))
    elif torn == "images without lines":
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
made = image_cache.prepare(list_classes(Path(sys.argv[1])), "pets/photo", 6, "squash", Path(sys.argv[2]), True)
print(len(rows), made.digest)
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
def test_kill_9_and_on(tmp_path, cache, monkeypatch):
    data_folder = write_classes(tmp_path / "data_folder", cat=20, dog=20)
    with start(data_folder, cache, 0.1) as process:
        wait_for_lines(cache, 3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    saved = next(cache.glob("*.draft/index.jsonl")).read_bytes().count(b"\n")
    assert 3 <= saved < 40
    rows = decoded(monkeypatch)
    again = prepared(data_folder, cache)
    assert sorted(rows) == list(range(saved, 40))
    assert again.digest == prepared(data_folder, tmp_path / "whole").digest


def test_two_processes_at_once_prepare_once(data_folder, cache):
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
def test_damaged_pack_is_refused(data_folder, cache, name, damage):
    folder = folder_of(prepared(data_folder, cache))
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
        prepared(data_folder, cache)


def test_changed_label_is_found(data_folder, cache):
    folder = folder_of(prepared(data_folder, cache))
    path = folder / "index.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"cat"', b'"dog"', 1))
    with pytest.raises(UserError, match=r"damaged \(.*index\.jsonl does not belong to pack\.json"):
        open_cached(folder)


@pytest.mark.parametrize("summary", ["[]", "{}", "1", '{"digest": 1, "side": 6}'])
def test_summary_of_something_else_is_refused(data_folder, cache, summary):
    folder = folder_of(prepared(data_folder, cache))
    write(folder / "pack.json", summary.encode())
    with pytest.raises(UserError, match="is damaged"):
        open_cached(folder)


def test_flipped_pixel_is_found_by_verify(data_folder, cache):
    made = prepared(data_folder, cache)
    verify(made)
    path = folder_of(made) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="are not those that were prepared"):
        verify(open_cached(folder_of(made)))


def test_no_room_is_said_before_anything_is_decode_row(data_folder, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    rows = decoded(monkeypatch)
    with pytest.raises(UserError, match=r"0\.00 GB left, but the images of .* at 6 pixels"):
        prepared(data_folder, cache)
    assert not rows


def test_disk_that_fills_up_meanwhile_is_said_and_lost_nothing(data_folder, cache, monkeypatch):
    monkeypatch.setattr(image_cache, "SAVE_EVERY", 2)
    save, saves = image_cache._save, []

    def full(*arguments):
        if len(saves) == 2:
            raise OSError(28, "No space left on device")
        saves.append(save(*arguments))

    with monkeypatch.context() as patch:
        patch.setattr(image_cache, "_save", full)
        with pytest.raises(
            StorageError, match=r"write the image cache '.*': No space left on device; .*DA_BENCH_CACHE"
        ):
            prepared(data_folder, cache)
    rows = decoded(monkeypatch)
    verify(prepared(data_folder, cache))
    assert sorted(rows) == [4, 5, 6]


def test_cache_that_is_a_file(data_folder, tmp_path):
    with pytest.raises(StorageError, match=r"write the image cache '.*': .*; .*DA_BENCH_CACHE"):
        prepared(data_folder, write(tmp_path / "file", b""))


@pytest.mark.parametrize(
    ("side", "how", "message"),
    [
        (0, "squash", "images of 0 pixels a side"),
        (6, "squish", "unknown way to resize 'squish'; did you mean 'squash'"),
    ],
)
def test_wrong_settings(data_folder, cache, side, how, message):
    with pytest.raises(UserError, match=message):
        prepared(data_folder, cache, side, how)


def test_no_images(data_folder, cache):
    with pytest.raises(UserError, match="'pets' lists no images under"):
        prepare(list_classes(data_folder)._replace(files=(), labels=()), "pets", SIDE, "squash", cache)


def test_name_cannot_leave_the_cache(data_folder, cache):
    assert folder_of(prepare(list_classes(data_folder), "../up/x", SIDE, "squash", cache)).parent == cache


@pytest.fixture(scope="module")
def dslr():
    root = os.environ.get("DA_BENCH_DATA")
    data_folder = Path(root or ".", "office31", "dslr", "images")
    if not root or not data_folder.is_dir():
        pytest.skip("needs the real office31 files: set DA_BENCH_DATA to a folder that has office31/")
    return list_classes(data_folder)


def test_office31_dslr(dslr, cache):
    made = prepare(dslr, "office31/dslr", 16, "squash", cache)
    # Saenko et al. 2010: 498 photographs of 31 classes.
    assert made.images.shape == (498, 16, 16, 3)
    assert len(made.classes) == 31
    image = Image.open(dslr.folder / dslr.files[0]).convert("RGB")
    assert made.entries[0][3:5] == image.size
    np.testing.assert_array_equal(made.images[0], image.resize((16, 16), Image.Resampling.BILINEAR))
