import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data import tfds_read
from da_bench.data.family import FAMILIES, UNSPLIT, Examples, Family
from da_bench.data.folders import list_classes

tfds = pytest.importorskip("tensorflow_datasets")
builders = pytest.importorskip("da_bench.data.tfds_build")

ALONE = """
import json, sys
sys.modules["da_bench"] = None  # whoever imports it fails
import tensorflow_datasets as tfds
"""
READ = """
name, data_folder = sys.argv[1:]
seen = {}
for split, source in tfds.data_source(name, data_dir=data_folder).items():
    seen[split] = [[one["inputs"].tolist(), int(one["label"]), int(one["row"])] for one in source]
print(json.dumps(seen))
assert "tensorflow" not in sys.modules
"""
READ_IMAGES = """
import hashlib
builder = tfds.builder_from_directory(sys.argv[1])
names = builder.info.features["label"].names
decoded = builder.as_data_source("train")
stored = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
rows = [
    [raw["file"].decode(), names[raw["label"]], hashlib.sha256(raw["image"]).hexdigest(), list(one["image"].shape)]
    for raw, one in zip(stored, decoded)
]
print(json.dumps([names, rows, builder.info.citation, builder.info.description]))
assert "tensorflow" not in sys.modules
"""


def run(script, *arguments):
    """What a fresh Python prints that runs `script`."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CLASSES = ("bike", "mug", "pen")


def image(rng, kind):
    content = io.BytesIO()
    height, width = rng.integers(5, 30, 2)
    Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(content, kind)
    return content.getvalue()


@pytest.fixture
def root(tmp_path, rng):
    """Images of mini/<domain>/<class>/, of any size, JPEG and PNG."""
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
    cls = builders._builder_class(family, tuple(family.domains), skip_registration=True)
    monkeypatch.setitem(builders.BUILDERS, "mini", cls)
    return family


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_images_are_stored_byte_for_byte_and_read_by_tfds_alone(root, mini, tmp_path):
    data_folder = builders.prepare("mini/amazon", tmp_path / "tfds", root)
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


def test_arrays_are_read_by_tfds_alone_by_the_name_of_the_family(tmp_path):
    builders.prepare("moons/35", tmp_path)
    seen = run(ALONE + READ, "moons/35", tmp_path)
    published = FAMILIES["moons"].read(Path(), "35")
    assert list(seen) == list(published) == ["train", "validation", "test"]
    for part, examples in published.items():
        inputs, labels, rows = zip(*sorted(seen[part], key=lambda one: one[2]), strict=True)
        assert list(rows) == list(range(len(examples.labels)))
        np.testing.assert_array_equal(np.array(inputs, np.float32), examples.inputs)
        np.testing.assert_array_equal(labels, examples.labels)
    assert [one[2] for one in seen["train"]] != list(range(300))  # shuffled, so that "train[:50%]" is fair


def test_a_domain_comes_back_as_the_same_examples(tmp_path, monkeypatch):
    builders.prepare("digits/real", tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    family = tfds_read.family("digits:real")
    assert (family.classes, family.domains) == (tuple("0123456789"), {"digits:real": {"all": 1797}})
    back, published = family.read(Path(), "digits:real")["all"], FAMILIES["digits"].read(Path(), "real")["all"]

    def order(examples):
        return sorted((x.tobytes(), int(label)) for x, label in zip(examples.inputs, examples.labels, strict=True))

    assert (back.inputs.dtype, back.inputs.shape) == (published.inputs.dtype, published.inputs.shape)
    assert order(back) == order(published)


def test_every_family_that_tfds_lacks_is_known_to_it(tmp_path):
    assert set(FAMILIES) <= set(tfds.list_builders(with_community_datasets=False))
    assert {"office31", "office_home", "pacs", "visda2017", "usps", "mnist_m"} <= set(builders.BUILDERS)
    assert not {"mnist", "domainnet"} & set(builders.BUILDERS)
    for name, cls in builders.BUILDERS.items():
        assert tfds.builder_cls(name) is cls
        several = set(FAMILIES[name].domains) - {name}
        assert set(cls.builder_configs) == several
    built = tfds.builder("office31/webcam", data_dir=tmp_path)
    assert built.info.features["label"].names == list(FAMILIES["office31"].classes)
    assert built.info.homepage == "https://faculty.cc.gatech.edu/~judy/domainadapt/"


def test_a_family_of_one_domain_has_no_configuration(tmp_path, monkeypatch):
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    part = Examples(images, np.array([1, 0, 1], np.int32), ("b", "a"))  # not sorted, as what tfds writes is
    family = Family(
        name="grey",
        read=lambda _place, _domain: {"train": part, "test": part},
        domains={"grey": {"train": 3, "test": 3}},
        classes=("a", "b"),
        citation="",
        terms="",
    )
    monkeypatch.setitem(FAMILIES._entries, "grey", family)
    assert builders.prepare("grey", tmp_path) == tmp_path / "grey" / "1.0.0"
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    parts = tfds_read.read(None, "grey")
    assert list(parts) == ["train", "test"]
    for examples in parts.values():
        names = [examples.classes[label] for label in examples.labels]
        assert sorted(zip(examples.inputs[:, 0, 0, 0], names, strict=True)) == [(0, "a"), (4, "b"), (8, "a")]
        assert (examples.inputs.dtype, examples.classes) == (np.uint8, ("a", "b"))


def test_a_table_of_ones_own_is_read_after_its_file_is_gone(tmp_path):
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine" / "a.npz", inputs=np.eye(3, dtype=np.float32), labels=np.array(["x", "y", "x"]))
    builders.prepare("table/mine/a", tmp_path, tmp_path)
    (tmp_path / "mine" / "a.npz").unlink()
    seen = run(ALONE + READ, "table_mine/a", tmp_path)
    assert sorted(seen["train"], key=lambda one: one[2]) == [[[1, 0, 0], 0, 0], [[0, 1, 0], 1, 1], [[0, 0, 1], 0, 2]]
    assert len(builders.builder("table/mine/a", tmp_path, tmp_path).as_data_source("train")) == 3


def test_what_tfds_has_itself_is_left_to_it(tmp_path):
    with pytest.raises(UserError, match=r"tfds has a data set 'mnist' of its own.*tfds.builder\('mnist'"):
        builders.builder("mnist", tmp_path)


def test_images_of_ones_own_need_no_family(root, tmp_path):
    (root / "mini").rename(root / "my_own")
    data_folder = builders.prepare("my_own/web-cam", tmp_path / "tfds", root)
    names, rows, *_ = run(ALONE + READ_IMAGES, data_folder)
    assert (names, len(rows)) == (list(CLASSES), 6)


def test_a_folder_that_tfds_cannot_name_is_refused(root, tmp_path):
    (root / "mini").rename(root / "my own")
    with pytest.raises(UserError, match=r"'my own'.*rename its folder"):
        builders.prepare("my own/amazon", tmp_path / "tfds", root)


def test_what_is_prepared_stays_and_needs_the_files_no_more(root, mini, tmp_path):
    data_folder = builders.prepare("mini/amazon", tmp_path / "tfds", root)
    before = {path: (path.stat().st_mtime_ns, sha256(path)) for path in data_folder.iterdir()}
    (root / "mini").rename(root / "gone")
    assert builders.prepare("mini/amazon", tmp_path / "tfds", root) == data_folder
    assert {path: (path.stat().st_mtime_ns, sha256(path)) for path in data_folder.iterdir()} == before
    assert len(builders.builder("mini/amazon", tmp_path / "tfds").as_data_source("train")) == 12


def test_equal_files_give_equal_records(root, mini, tmp_path):
    one, other = (builders.prepare("mini/amazon", tmp_path / name, root) for name in ("one", "other"))
    for path in one.iterdir():
        assert sha256(path) == sha256(other / path.name)


def nothing_in(folder):
    return not [path for path in folder.rglob("*") if path.is_file() and path.name != "metadata.json"]


def test_missing_files_are_named(root, mini, tmp_path, monkeypatch):
    (root / "mini" / "web-cam").rename(root / "elsewhere")
    with pytest.raises(UserError, match=r"missing in '.*mini': web-cam \(to get them: https://example.org"):
        builders.prepare("mini/web-cam", tmp_path / "tfds", root)
    monkeypatch.delenv("DA_BENCH_DATA", raising=False)
    with pytest.raises(UserError, match="set the environment variable DA_BENCH_DATA"):
        builders.prepare("mini/web-cam", tmp_path / "tfds")
    assert nothing_in(tmp_path / "tfds")


def test_other_counts_than_published_are_refused(root, mini, tmp_path, rng):
    (root / "mini" / "amazon" / "pen" / "more.png").write_bytes(image(rng, "PNG"))
    with pytest.raises(UserError, match=r"mini/amazon.*13.*12"):
        builders.prepare("mini/amazon", tmp_path / "tfds", root)
    assert nothing_in(tmp_path / "tfds")


def test_a_damaged_image_is_named_and_nothing_is_left(root, mini, tmp_path):
    path = root / "mini" / "amazon" / "mug" / "0001.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"cannot use the image '.*mug/0001.png'"):
        builders.prepare("mini/amazon", tmp_path / "tfds", root)
    assert nothing_in(tmp_path / "tfds")


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from da_bench.data import tfds_build as builders
decode, calls = builders.decode_bytes, itertools.count(1)
def dying(*arguments):
    if next(calls) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(*arguments)
builders.decode_bytes = dying
builders.prepare("mini/amazon", *map(Path, sys.argv[1:]))
"""


def test_a_killed_run_leaves_nothing_that_looks_complete(root, tmp_path):
    folder = tmp_path / "tfds"
    done = subprocess.run([sys.executable, "-c", KILLED, folder, root], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    (left,) = (folder / "mini" / "amazon").iterdir()
    assert re.fullmatch(r"incomplete\..*_1\.0\.0", left.name)
    data_folder = builders.prepare("mini/amazon", folder, root)
    assert len(tfds.builder_from_directory(str(data_folder)).as_data_source("train")) == 12


def test_a_folder_that_cannot_be_written_to_is_named(root, mini, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write '.*file/mini/amazon/1.0.0'"):
        builders.prepare("mini/amazon", tmp_path / "file", root)


def test_whoever_is_second_takes_what_the_first_has_written(root, mini, tmp_path, monkeypatch):
    folder, original = tmp_path / "tfds", builders._of_images

    def overtaken(part):
        yield from original(part)
        monkeypatch.setattr(builders, "_of_images", original)
        builders.prepare("mini/amazon", folder, root)

    monkeypatch.setattr(builders, "_of_images", overtaken)
    data_folder = builders.prepare("mini/amazon", folder, root)
    assert len(tfds.builder_from_directory(str(data_folder)).as_data_source("train")) == 12
    assert [path.name for path in data_folder.parent.iterdir()] == ["1.0.0"]


def test_only_results_go_to_stdout(tmp_path, capsys):
    builders.prepare("moons/0", tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "moons" in captured.err


def test_without_tensorflow_datasets_the_remedy_is_named():
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
def test_real_data_sets_can_be_prepared(tmp_path, domain, count, monkeypatch):
    given = os.environ.get("DA_BENCH_DATA")
    folder = FAMILIES[domain.split("/")[0]].folder
    if not given or not Path(given, folder).is_dir():
        pytest.skip(f"needs the real files: set DA_BENCH_DATA to a folder that has {folder}/")
    data_folder = builders.prepare(domain, tmp_path)
    info = tfds.builder_from_directory(str(data_folder)).info
    assert info.splits.total_num_examples == count
    monkeypatch.delenv("DA_BENCH_DATA")  # what is prepared is read without the files
    assert set(builders.builder(domain, tmp_path).as_data_source()) == set(info.splits)
