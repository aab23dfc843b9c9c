import hashlib
import io
import json
import os
import re
import subprocess
import sys
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data import tfds_read
from da_bench.data.family import FAMILIES, UNSPLIT, Examples, Family
from da_bench.data.folders import list_classes

tfds = pytest.importorskip("tensorflow_datasets")
tfds_build = pytest.importorskip("da_bench.data.tfds_build")

ALONE = """
import json, sys
sys.modules["da_bench"] = None  # importing it fails
import tensorflow_datasets as tfds
"""
READ = """
name, data_folder = sys.argv[1:]
examples = {}
for split, source in tfds.data_source(name, data_dir=data_folder).items():
    examples[split] = [[row["inputs"].tolist(), int(row["label"]), int(row["row"])] for row in source]
print(json.dumps(examples))
assert "tensorflow" not in sys.modules
"""
READ_IMAGES = """
import hashlib
builder = tfds.builder_from_directory(sys.argv[1])
names = builder.info.features["label"].names
decoded = builder.as_data_source("train")
stored = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
rows = [
    [raw["file"].decode(), names[raw["label"]], hashlib.sha256(raw["image"]).hexdigest(), list(example["image"].shape)]
    for raw, example in zip(stored, decoded)
]
print(json.dumps([names, rows, builder.info.citation, builder.info.description]))
assert "tensorflow" not in sys.modules
"""


def run(script, *arguments):
    """Run `script` in a fresh Python and return the JSON that it prints."""
    process = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


CLASSES = ("bike", "mug", "pen")


def image(rng, kind):
    content = io.BytesIO()
    height, width = rng.integers(5, 30, 2)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(content, kind)
    return content.getvalue()


@pytest.fixture
def root(tmp_path, rng):
    """Write images of various sizes, JPEG and PNG, to mini/<domain>/<class>/."""
    for domain, count in (("amazon", 4), ("web-cam", 2)):
        for i in range(3 * count):
            kind, ending = (("JPEG", "jpg"), ("PNG", "png"))[i % 2]
            path = tmp_path / "data" / "mini" / domain / CLASSES[-1 - i % 3] / f"{i:04}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image(rng, kind))
    return tmp_path / "data"


@pytest.fixture
def mini(monkeypatch):
    """A published family of images."""
    family = Family(
        name="mini",
        read=lambda data_folder, domain: {UNSPLIT: list_classes(data_folder / domain)},
        domains={"amazon": {UNSPLIT: 12}, "web-cam": {UNSPLIT: 6}},
        classes=CLASSES,
        citation="Mini, Three classes, 2001",
        terms="research",
        how_to_get="https://example.org/mini, 'all images'",
        folder="mini",
        files=lambda domain: (domain,),
        images=True,
    )
    monkeypatch.setitem(FAMILIES._entries, "mini", family)
    cls = tfds_build._builder_class(family, tuple(family.domains), skip_registration=True)
    monkeypatch.setitem(tfds_build.BUILDERS, "mini", cls)
    return family


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_images_are_stored_unchanged_and_readable_without_da_bench(root, mini, tmp_path):
    data_folder = tfds_build.prepare("mini/amazon", tmp_path / "tfds", root)
    assert data_folder == tmp_path / "tfds" / "mini" / "amazon" / "1.0.0"
    names, rows, citation, description = run(ALONE + READ_IMAGES, data_folder)
    assert names == list(CLASSES)
    files = sorted((root / "mini" / "amazon").rglob("*.*"))
    assert [row[0] for row in sorted(rows)] == [file.relative_to(root / "mini" / "amazon").as_posix() for file in files]
    for file, name, digest, shape in rows:
        path = root / "mini" / "amazon" / file
        assert (name, digest) == (path.parent.name, sha256(path))
        with Image.open(path) as original:
            assert shape == [original.height, original.width, 3]
    assert citation == mini.citation
    assert mini.how_to_get in description
    assert (data_folder / "LICENSE").read_text() == "research"


def test_arrays_are_readable_without_da_bench(tmp_path):
    tfds_build.prepare("moons/35", tmp_path)
    printed = run(ALONE + READ, "moons/35", tmp_path)
    published = FAMILIES["moons"].read(Path(), "35")
    assert list(printed) == list(published) == ["train", "validation", "test"]
    for part, examples in published.items():
        inputs, labels, rows = zip(*sorted(printed[part], key=itemgetter(2)), strict=True)
        assert list(rows) == list(range(len(examples.labels)))
        np.testing.assert_array_equal(np.array(inputs, np.float32), examples.inputs)
        np.testing.assert_array_equal(labels, examples.labels)
    assert [row for *_, row in printed["train"]] != list(range(300))  # shuffled, so that "train[:50%]" is fair


def test_written_domain_is_read_back_unchanged(tmp_path, monkeypatch):
    tfds_build.prepare("digits/real", tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    family = tfds_read.family("digits:real")
    assert (family.classes, family.domains) == (tuple("0123456789"), {"digits:real": {"all": 1797}})
    restored, published = family.read(Path(), "digits:real")["all"], FAMILIES["digits"].read(Path(), "real")["all"]

    def order(examples):
        return sorted((x.tobytes(), int(label)) for x, label in zip(examples.inputs, examples.labels, strict=True))

    assert (restored.inputs.dtype, restored.inputs.shape) == (published.inputs.dtype, published.inputs.shape)
    assert order(restored) == order(published)


def test_families_that_tfds_lacks_are_registered(tmp_path):
    assert set(FAMILIES) <= set(tfds.list_builders(with_community_datasets=False))
    assert {"office31", "office_home", "pacs", "visda2017", "usps", "mnist_m"} <= set(tfds_build.BUILDERS)
    assert not {"mnist", "domainnet"} & set(tfds_build.BUILDERS)
    for name, cls in tfds_build.BUILDERS.items():
        assert tfds.builder_cls(name) is cls
        several = set(FAMILIES[name].domains) - {name}
        assert set(cls.builder_configs) == several
    built = tfds.builder("office31/webcam", data_dir=tmp_path)
    assert built.info.features["label"].names == list(FAMILIES["office31"].classes)
    assert built.info.homepage == "https://faculty.cc.gatech.edu/~judy/domainadapt/"


def test_family_of_one_domain_has_no_configuration(tmp_path, monkeypatch):
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    part = Examples(images, np.array([1, 0, 1], np.int32), ("b", "a"))  # unsorted, unlike the classes that tfds stores
    family = Family(
        name="grey",
        read=lambda _place, _domain: {"train": part, "test": part},
        domains={"grey": {"train": 3, "test": 3}},
        classes=("a", "b"),
        citation="",
        terms="",
    )
    monkeypatch.setitem(FAMILIES._entries, "grey", family)
    assert tfds_build.prepare("grey", tmp_path) == tmp_path / "grey" / "1.0.0"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    parts = tfds_read.read(None, "grey")
    assert list(parts) == ["train", "test"]
    for examples in parts.values():
        names = [examples.classes[label] for label in examples.labels]
        assert sorted(zip(examples.inputs[:, 0, 0, 0], names, strict=True)) == [(0, "a"), (4, "b"), (8, "a")]
        assert (examples.inputs.dtype, examples.classes) == (np.uint8, ("a", "b"))


def test_prepared_table_does_not_need_its_source_file(tmp_path):
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "a.npz", inputs=np.eye(3, dtype=np.float32), labels=np.array(["x", "y", "x"]))
    tfds_build.prepare("table/mine/a", tmp_path, tmp_path)
    (tmp_path / "mine" / "a.npz").unlink()
    printed = run(ALONE + READ, "table_mine/a", tmp_path)
    assert sorted(printed["train"], key=itemgetter(2)) == [[[1, 0, 0], 0, 0], [[0, 1, 0], 1, 1], [[0, 0, 1], 0, 2]]
    assert len(tfds_build.builder("table/mine/a", tmp_path, tmp_path).as_data_source("train")) == 3


def test_data_sets_of_tfds_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"tfds has a data set 'mnist' of its own.*tfds.builder\('mnist'"):
        tfds_build.builder("mnist", tmp_path)


def test_unregistered_image_folder_can_be_prepared(root, tmp_path):
    (root / "mini").rename(root / "my_own")
    data_folder = tfds_build.prepare("my_own/web-cam", tmp_path / "tfds", root)
    names, rows, *_ = run(ALONE + READ_IMAGES, data_folder)
    assert (names, len(rows)) == (list(CLASSES), 6)


def test_folder_name_that_tfds_forbids_is_refused(root, tmp_path):
    (root / "mini").rename(root / "my own")
    with pytest.raises(UserError, match=r"'my own'.*rename its folder"):
        tfds_build.prepare("my own/amazon", tmp_path / "tfds", root)


def test_prepared_data_is_kept_and_does_not_need_the_source_files(root, mini, tmp_path):
    data_folder = tfds_build.prepare("mini/amazon", tmp_path / "tfds", root)
    before = {path: (path.stat().st_mtime_ns, sha256(path)) for path in data_folder.iterdir()}
    (root / "mini").rename(root / "gone")
    assert tfds_build.prepare("mini/amazon", tmp_path / "tfds", root) == data_folder
    assert {path: (path.stat().st_mtime_ns, sha256(path)) for path in data_folder.iterdir()} == before
    assert len(tfds_build.builder("mini/amazon", tmp_path / "tfds").as_data_source("train")) == 12


def test_preparation_is_deterministic(root, mini, tmp_path):
    first, second = (tfds_build.prepare("mini/amazon", tmp_path / name, root) for name in ("first", "second"))
    for path in first.iterdir():
        assert sha256(path) == sha256(second / path.name)


def is_empty(folder):
    return not [path for path in folder.rglob("*") if path.is_file() and path.name != "metadata.json"]


def test_missing_files_are_named(root, mini, tmp_path, monkeypatch):
    (root / "mini" / "web-cam").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"missing in '.*mini': web-cam \(to get them: https://example.org"):
        tfds_build.prepare("mini/web-cam", tmp_path / "tfds", root)
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    with pytest.raises(UserError, match="set the environment variable DA_BENCH_DATA"):
        tfds_build.prepare("mini/web-cam", tmp_path / "tfds")
    assert is_empty(tmp_path / "tfds")


def test_count_other_than_published_is_refused(root, mini, tmp_path, rng):
    (root / "mini" / "amazon" / "pen" / "more.png").write_bytes(image(rng, "PNG"))
    with pytest.raises(UserError, match=r"mini/amazon.*13.*12"):
        tfds_build.prepare("mini/amazon", tmp_path / "tfds", root)
    assert is_empty(tmp_path / "tfds")


def test_damaged_image_is_named_and_nothing_is_left(root, mini, tmp_path):
    path = root / "mini" / "amazon" / "mug" / "0001.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"cannot use the image '.*mug/0001.png'"):
        tfds_build.prepare("mini/amazon", tmp_path / "tfds", root)
    assert is_empty(tmp_path / "tfds")


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from da_bench.data import tfds_build
decode, calls = tfds_build.decode_bytes, itertools.count(1)
def die(*arguments):
    if next(calls) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
tfds_build.decode_bytes = die
tfds_build.prepare("mini/amazon", *map(Path, sys.argv[1:]))
"""


def test_killed_run_leaves_only_an_incomplete_folder(root, tmp_path):
    folder = tmp_path / "tfds"
    process = subprocess.run([sys.executable, "-c", KILLED, folder, root], capture_output=True, check=False)
    assert process.returncode == -9, process.stderr
    (leftover,) = (folder / "mini" / "amazon").iterdir()
    assert re.fullmatch(r"incomplete\..*_1\.0\.0", leftover.name)
    data_folder = tfds_build.prepare("mini/amazon", folder, root)
    assert len(tfds.builder_from_directory(str(data_folder)).as_data_source("train")) == 12


def test_unwritable_folder_is_named(root, mini, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write '.*file/mini/amazon/1.0.0'"):
        tfds_build.prepare("mini/amazon", tmp_path / "file", root)


def test_concurrent_preparation_reuses_the_first_result(root, mini, tmp_path, monkeypatch):
    folder, original = tmp_path / "tfds", tfds_build._of_images

    def write_in_between(part):
        yield from original(part)
        monkeypatch.setattr(tfds_build, "_of_images", original)
        tfds_build.prepare("mini/amazon", folder, root)

    monkeypatch.setattr(tfds_build, "_of_images", write_in_between)
    data_folder = tfds_build.prepare("mini/amazon", folder, root)
    assert len(tfds.builder_from_directory(str(data_folder)).as_data_source("train")) == 12
    assert [path.name for path in data_folder.parent.iterdir()] == ["1.0.0"]


def test_prepare_prints_only_to_stderr(tmp_path, capsys):
    tfds_build.prepare("moons/0", tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "moons" in captured.err


def test_missing_tensorflow_datasets_names_the_pip_command():
    script = """
import json, sys
sys.modules["tensorflow_datasets"] = None
try:
    import da_bench.data.tfds_build
except ValueError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, message = run(script)
    assert name == "UserError"
    assert 'pip install "da-bench[tfds]"' in message


@pytest.mark.parametrize(("domain", "count"), [("office31/dslr", 498), ("usps", 7291 + 2007)])
def test_real_data_sets_are_prepared(tmp_path, domain, count, monkeypatch):
    data_root = os.environ.get("DA_BENCH_DATA")
    folder = FAMILIES[domain.split("/")[0]].folder
    if not data_root or not Path(data_root, folder).is_dir():
        pytest.skip(f"needs the real files: set DA_BENCH_DATA to a folder that has {folder}/")
    data_folder = tfds_build.prepare(domain, tmp_path)
    info = tfds.builder_from_directory(str(data_folder)).info
    assert info.splits.total_num_examples == count
    monkeypatch.delenv("DA_BENCH_DATA")  # prepared data is read without the source files
    assert set(tfds_build.builder(domain, tmp_path).as_data_source()) == set(info.splits)
