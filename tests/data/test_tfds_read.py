import io
import json
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from da_bench.core.config import UserError
from da_bench.data import tfds_read

tfds = pytest.importorskip("tensorflow_datasets")
F = tfds.features


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_network(monkeypatch):
    """Fail the test if anything opens a connection or looks up an address."""
    requests = []

    def refuse(*args, **kwargs):
        requests.append(args)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert requests == []


def write(data_folder, features, splits, name="mini", version="1.0.0", config=None):
    """Write a tfds data set; `splits` maps names to lists of examples. tfds stores them in the order of hashed keys."""

    class Mini(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        code_path = None

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=F.FeaturesDict(features), citation="Mini 2001", license="free"
            )

        def _split_generators(self, _downloads):
            return {split: self._generate_examples(examples) for split, examples in splits.items()}

        def _generate_examples(self, examples):
            return enumerate(examples)

    Mini.name = name
    Mini.BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []
    builder = Mini(data_dir=str(data_folder), file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_dir)


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return content.getvalue()


LABEL = F.ClassLabel(names=["zebra", "ant", "cow"])
NUMBERS = {"x": F.Tensor(shape=(2,), dtype=np.float32), "label": LABEL}


def numbers(count, start=0):
    return [{"x": np.array([i, -i], np.float32), "label": i % 3} for i in range(start, start + count)]


def rows(examples):
    """Return (inputs, class name) of each example, sorted, because tfds shuffles them."""
    names = (examples.classes[label] for label in examples.labels)
    return sorted((value.tolist(), name) for value, name in zip(examples.inputs, names, strict=True))


def test_arrays_are_read_with_classes_sorted_by_name(data_folder, no_network):
    write(data_folder, NUMBERS, {"train": numbers(7), "test": numbers(4, start=7)})
    parts = tfds_read.read(None, "mini")
    assert list(parts) == ["train", "test"]
    names = ("zebra", "ant", "cow")
    assert rows(parts["train"]) == [([float(i), -float(i)], names[i % 3]) for i in range(7)]
    assert rows(parts["test"]) == [([float(i), -float(i)], names[i % 3]) for i in range(7, 11)]
    for part in parts.values():
        assert part.classes == ("ant", "cow", "zebra")
        assert (part.inputs.dtype, part.labels.dtype) == (np.float32, np.int32)


def test_images_equal_those_of_tfds_in_the_same_order(data_folder, rng, monkeypatch):
    monkeypatch.setattr(tfds_read, "CHUNK", 4)  # 10 examples in three chunks
    pixels = rng.integers(0, 256, (10, 5, 6, 3), dtype=np.uint8)
    examples = [{"image": png(image), "label": "cow"} for image in pixels]
    folder = write(data_folder, {"image": F.Image(), "label": LABEL}, {"train": examples})
    examples_read = tfds_read.read(None, "mini")["all"]
    assert examples_read.inputs.dtype == np.uint8
    by_tfds = tfds.builder_from_directory(str(folder)).as_data_source("train")
    np.testing.assert_array_equal(examples_read.inputs, np.stack([example["image"] for example in by_tfds]))
    np.testing.assert_array_equal(sorted(map(bytes, examples_read.inputs)), sorted(map(bytes, pixels)))


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_images_have_the_declared_number_of_channels(data_folder, rng, channels):
    grey = rng.integers(0, 256, (4, 5), dtype=np.uint8)
    features = {"image": F.Image(shape=(4, 5, channels)), "label": LABEL}
    write(data_folder, features, {"train": [{"image": png(grey), "label": 0}]})
    (image,) = tfds_read.read(None, "mini")["all"].inputs
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], channels, axis=2))
    assert tfds_read.family("mini").model == "lenet"


def test_images_of_different_sizes_are_refused(data_folder):
    examples = [{"image": png(np.zeros((side, 8, 3), np.uint8)), "label": 0} for side in (8, 9)]
    write(data_folder, {"image": F.Image(), "label": LABEL}, {"train": examples})
    with pytest.raises(UserError, match=r"of one shape, not .*\(8, 8, 3\).*<folder>/<domain>/<class>"):
        tfds_read.read(None, "mini")


def test_damaged_image_is_named(data_folder):
    write(data_folder, {"image": F.Image(), "label": LABEL}, {"train": [{"image": b"\x89PNG no more", "label": 0}]})
    with pytest.raises(UserError, match=r"mini/1.0.0/train\[0\]"):
        tfds_read.read(None, "mini")


@pytest.mark.parametrize(
    ("splits", "parts"),
    [
        (["everything"], {"all": "everything"}),
        (["train", "test"], {"train": "train", "test": "test"}),
        (["train", "validation", "test"], {"train": "train", "validation": "validation", "test": "test"}),
        (["train", "validation"], {"train": "train", "test": "validation"}),  # ImageNet's test labels are secret
        (["extra", "test", "train"], {"train": "train", "test": "test"}),  # SVHN
    ],
)
def test_splits_become_parts(data_folder, splits, parts):
    sizes = {split: 1 + i for i, split in enumerate(splits)}
    write(data_folder, NUMBERS, {split: numbers(size) for split, size in sizes.items()})
    counts = {part: sizes[split] for part, split in parts.items()}
    assert {part: len(examples.labels) for part, examples in tfds_read.read(None, "mini").items()} == counts
    assert tfds_read.family("mini").domains == {"mini": counts}


def test_unknown_splits_are_refused(data_folder):
    write(data_folder, NUMBERS, {"amazon": numbers(2), "webcam": numbers(2)})
    with pytest.raises(UserError, match=r"its splits are: amazon, webcam"):
        tfds_read.read(None, "mini")


VECTOR = F.Tensor(shape=(1,), dtype=np.float32)


@pytest.mark.parametrize(
    ("features", "keys"),
    [
        ({"a": VECTOR, "b": LABEL}, ("a", "b")),
        ({"a": VECTOR, "n": np.int64, "file": F.Text(), "b": LABEL}, ("a", "b")),  # neither number nor text are inputs
        ({"a": VECTOR, "inputs": VECTOR, "b": LABEL, "label": LABEL}, ("inputs", "label")),
        ({"image": F.Image(), "mask": F.Image(), "label": LABEL}, ("image", "label")),
    ],
)
def test_input_and_label_features_are_recognised(data_folder, features, keys):
    values = {F.Text: "x", F.ClassLabel: 0, F.Image: png(np.zeros((2, 2, 3), np.uint8)), F.Tensor: np.zeros(1, "f4")}
    example = {key: 7 if feature is np.int64 else values[type(feature)] for key, feature in features.items()}
    folder = write(data_folder, features, {"train": [example]})
    data_set = tfds_read._open(folder)
    assert (data_set.inputs, data_set.label) == keys
    assert len(tfds_read.read(None, "mini")["all"].inputs) == 1


@pytest.mark.parametrize(
    "name", ["mnist", "cifar10", "svhn_cropped", "kmnist", "stl10", "eurosat", "cifar10_corrupted"]
)
def test_features_of_common_tfds_data_sets_are_recognised(data_folder, name):
    assert tfds_read._keys(data_folder, tfds.builder(name).info.features) == ("image", "label")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"a": VECTOR, "b": VECTOR, "label": LABEL}, r"'image' or 'inputs'.*a \(Tensor\), b \(Tensor\), label"),
        ({"n": np.float32, "label": LABEL}, r"'image' or 'inputs'.*label \(ClassLabel\), n \(Tensor\)"),
        ({"a": VECTOR, "y": np.int64}, r"'label', or only one ClassLabel.*a \(Tensor\), y \(Tensor\)"),
    ],
)
def test_ambiguous_features_are_listed(data_folder, features, message):
    example = {key: np.zeros(1, "f4") if feature is VECTOR else 0 for key, feature in features.items()}
    write(data_folder, features, {"train": [example]})
    with pytest.raises(UserError, match=message):
        tfds_read.read(None, "mini")


def test_unlabelled_examples_are_refused(data_folder):
    write(data_folder, NUMBERS, {"train": numbers(3), "test": [{"x": np.zeros(2, np.float32), "label": -1}]})
    with pytest.raises(UserError, match=r"split 'test' of .* without a label"):
        tfds_read.read(None, "mini")


def test_non_finite_values_are_refused(data_folder):
    write(data_folder, NUMBERS, {"train": [{"x": np.array([0, np.nan], np.float32), "label": 0}]})
    with pytest.raises(UserError, match="not finite"):
        tfds_read.read(None, "mini")


def test_integers_become_float32_and_uint8_images_stay(data_folder):
    features = {"inputs": F.Tensor(shape=(3,), dtype=np.int16), "label": LABEL}
    write(data_folder, features, {"train": [{"inputs": np.array([-3, 0, 300], np.int16), "label": 0}]})
    assert tfds_read.read(None, "mini")["all"].inputs.tolist() == [[-3.0, 0.0, 300.0]]
    features = {"inputs": F.Tensor(shape=(2, 2, 1), dtype=np.uint8, encoding="zlib"), "label": LABEL}
    write(data_folder, features, {"train": [{"inputs": np.full((2, 2, 1), 9, np.uint8), "label": 0}]}, name="grey")
    grey = tfds_read.read(None, "grey")["all"].inputs
    assert (grey.dtype, grey.shape, grey.max()) == (np.uint8, (1, 2, 2, 1), 9)


def test_highest_complete_version_is_read(data_folder):
    for version, count in (("9.0.0", 3), ("10.0.0", 4)):
        write(data_folder, NUMBERS, {"train": numbers(count)}, version=version)
    (data_folder / "mini" / "11.0.0").mkdir()
    (data_folder / "mini" / "incomplete.ABCDEF_12.0.0").mkdir()
    assert len(tfds_read.read(None, "mini")["all"].labels) == 4


def test_configuration_must_be_named(data_folder):
    for config, count in (("amazon", 3), ("web-cam", 4)):
        write(data_folder, NUMBERS, {"train": numbers(count)}, name="office", config=config)
    assert len(tfds_read.read(None, "office:web-cam")["all"].labels) == 4
    with pytest.raises(UserError, match="prepared as amazon, web-cam: write tfds/office:amazon"):
        tfds_read.read(None, "office")
    with pytest.raises(UserError, match=r"'office:amazn' is not prepared.*did you mean 'amazon'"):
        tfds_read.read(None, "office:amazn")


def test_unprepared_data_set_is_reported_at_once_and_offline(data_folder, no_network):
    write(data_folder, NUMBERS, {"train": numbers(3)}, name="cifar100")
    start = time.monotonic()
    family = tfds_read.family("cifar10")
    assert (family.name, family.domains) == ("tfds", {})
    with pytest.raises(
        UserError, match=r"did you mean 'cifar100'.*tfds.builder\('cifar10', file_format='array_record'"
    ):
        family.read(Path(), "cifar10")
    assert time.monotonic() - start < 2
    assert "tensorflow" not in sys.modules


def test_missing_tfds_folder_is_reported(data_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_folder / "nowhere"))
    with pytest.raises(UserError, match=r"'mnist' is not prepared in .*nowhere/mnist'; to prepare it.*TFDS_DATA_DIR"):
        tfds_read.read(None, "mnist")


def test_family_takes_its_metadata_from_the_data_set(data_folder):
    write(data_folder, NUMBERS, {"train": numbers(3)})
    family = tfds_read.family("mini")
    assert (family.citation, family.terms, family.model) == ("Mini 2001", "free", "bottleneck")
    assert family.classes == ("ant", "cow", "zebra")


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "a:", "a:../b", "1a", "a b"])
def test_invalid_tfds_names_are_refused(name):
    with pytest.raises(UserError, match="write tfds/NAME or tfds/NAME:CONFIG"):
        tfds_read.family(name)


def test_tfrecord_is_refused_with_a_remedy(data_folder):
    folder = write(data_folder, NUMBERS, {"train": numbers(3)}, name="office", config="amazon")
    info = folder / "dataset_info.json"  # as TensorFlow's tfds writes it, which cannot be run here
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    message = r"stored as tfrecord.*tfds.builder\('office/amazon', file_format='array_record', data_dir=FOLDER\)"
    with pytest.raises(UserError, match=message):
        tfds_read.read(None, "office:amazon")


def damage_files(folder, damage):
    (shard,) = folder.glob("*.array_record*")
    if damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "missing":
        shard.unlink()
    elif damage == "flipped":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 255
        shard.write_bytes(content)
    else:
        (folder / damage).write_text('{"fileFormat": "array_record", ')


@pytest.mark.parametrize("damage", ["truncated", "missing", "flipped", "dataset_info.json", "features.json"])
def test_damaged_files_are_refused(data_folder, damage, rng):
    noise = [{"x": rng.normal(size=2).astype(np.float32), "label": 0} for _ in range(500)]
    damage_files(write(data_folder, NUMBERS, {"train": noise}), damage)
    with pytest.raises(UserError, match=r"cannot read '.*mini/1.0.0'"):
        tfds_read.read(None, "mini")


def test_missing_tensorflow_datasets_names_the_pip_command(data_folder, monkeypatch):
    write(data_folder, NUMBERS, {"train": numbers(3)})
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r'pip install "da-bench\[tfds\]"'):
        tfds_read.read(None, "mini")
