"""Data sets that tensorflow-datasets (tfds) has prepared on this disk, as domains: "tfds/cifar10", "tfds/emnist:mnist".

Only data sets stored as array_record are read, which needs neither TensorFlow nor a network. Nothing is prepared here.
"""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from da_bench.core.config import UserError, did_you_mean
from da_bench.data.family import UNSPLIT, Examples, Family, Parts
from da_bench.data.images import decode_bytes, strict_pillow
from da_bench.data.tables import as_features

PREFIX = "tfds"
FORMAT = "array_record"
NAME = re.compile(r"(?P<name>[a-zA-Z]\w*)(:(?P<config>[\w+-][\w+.-]*))?")  # tfds's own rule; a "/" is a domain's here
VERSION = re.compile(r"\d+\.\d+\.\d+")
INFO = "dataset_info.json"
CHUNK = 1024  # records in memory undecoded


class PreparedDataset(NamedTuple):
    """A prepared data set.

    Attributes:
        builder: its tfds builder.
        inputs: key of the feature that is the input.
        label: key of the feature that is the label.
        splits: the tfds split of each part.
    """

    builder: Any
    inputs: str
    label: str
    splits: Mapping[str, str]


def library() -> Any:
    """Import and return the module tensorflow_datasets.

    Raises:
        UserError: it cannot be imported.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        remedy = 'pip install "da-bench[tfds]"'
        raise UserError(f"tensorflow-datasets is needed and cannot be imported ({error}): {remedy}") from None
    return tensorflow_datasets


def data_dir(folder: Path | None = None) -> Path:
    """Return the folder of tfds's data sets: `folder`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(folder or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def family(name: str) -> Family:
    """Return the data set NAME or NAME:CONFIG of tfds as the only domain of a family called "tfds".

    Counts, classes and so on are those of the prepared data set. If it is not prepared, `read` raises an error and this
    function does not: naming a task needs no data.

    Raises:
        UserError: tfds cannot have a data set of this name.
    """
    unknown = Family(
        name=PREFIX,
        read=read,
        domains={},
        classes=(),
        citation="the data set's own",
        terms="the data set's own",
        how_to_get=_how_to_prepare(*_named(name)),
        model="bottleneck",
    )
    try:
        dataset = _opened(name)
    except UserError:
        return unknown
    return dataclasses.replace(unknown, **_known_of(dataset, name))


def _known_of(dataset: PreparedDataset, name: str) -> dict[str, Any]:
    info = dataset.builder.info
    inputs = info.features[dataset.inputs]
    return {
        "domains": {name: {part: info.splits[split].num_examples for part, split in dataset.splits.items()}},
        "classes": tuple(sorted(info.features[dataset.label].names)),
        "citation": info.citation,
        "terms": info.as_proto.redistribution_info.license,
        "model": "lenet" if len(inputs.shape) == 3 and inputs.np_dtype == np.uint8 else "bottleneck",
    }


def _how_to_prepare(name: str, config: str) -> str:
    full = f"{name}/{config}" if config else name
    return f"tfds.builder('{full}', file_format='{FORMAT}').download_and_prepare()"


def read(_folder: Path | None, name: str) -> Parts:
    """Read the examples of NAME or NAME:CONFIG, its highest prepared version, in the order stored.

    Inputs are the feature `image` or `inputs`, else the only Image or Tensor; labels are `label`, else the only
    ClassLabel. Images are uint8 [n, h, w, 1 or 3]. Tensors are float32 [n, ...], or stay uint8 if they are images.

    Returns:
        The splits "train", "test" and, if it exists, "validation". Without a "test" split, "validation" is the test
        part, as with ImageNet. If there is only one split, it is the whole domain, whatever its name. Other splits,
        such as SVHN's "extra", are left out. Classes are sorted by name.

    Raises:
        UserError: tensorflow-datasets is not installed; the data set is not prepared, not stored as array_record, or
            damaged; it has other splits or features; images have several sizes; examples have no label.
    """
    dataset = _opened(name)
    return {part: _examples(dataset, split) for part, split in dataset.splits.items()}


def _named(name: str) -> tuple[str, str]:
    """Split "NAME:CONFIG" into (NAME, CONFIG or "")."""
    match = NAME.fullmatch(name)
    if not match:
        raise UserError(f"'{name}' is not a valid name of a tfds data set: write {PREFIX}/NAME or {PREFIX}/NAME:CONFIG")
    return match["name"], match["config"] or ""


def _opened(name: str) -> PreparedDataset:
    return _open(_version_folder(*_named(name)))


def _version_folder(name: str, config: str) -> Path:
    top = data_dir()
    folder = top / name / config
    versions = [folder.parent for folder in folder.glob(f"*/{INFO}") if VERSION.fullmatch(folder.parent.name)]
    if versions:
        return max(versions, key=lambda folder: tuple(map(int, folder.name.split("."))))
    configs = sorted({info.parent.parent.name for info in (top / name).glob(f"*/*/{INFO}")})
    if configs and not config:
        raise UserError(
            f"the data set '{name}' is prepared as {', '.join(configs)}: write {PREFIX}/{name}:{configs[0]}"
        )
    near = did_you_mean(config, configs) if configs else _suggestion(top, name)
    raise UserError(
        f"the data set '{name}{':' if config else ''}{config}' is not prepared in '{folder}'{near}; to prepare it: "
        f"{_how_to_prepare(name, config)}; if it is elsewhere, set the environment variable TFDS_DATA_DIR"
    )


def _suggestion(top: Path, name: str) -> str:
    tfds_read = {info.relative_to(top).parts[0] for info in (*top.glob(f"*/*/{INFO}"), *top.glob(f"*/*/*/{INFO}"))}
    return did_you_mean(name, tfds_read) if tfds_read else ""


@functools.lru_cache(maxsize=16)
def _open(folder: Path) -> PreparedDataset:
    tfds = library()
    with _read_errors(folder):
        _require_format(folder, json.loads((folder / INFO).read_text()))
        builder = tfds.builder_from_directory(str(folder), file_format=FORMAT)
    return PreparedDataset(builder, *_keys(folder, builder.info.features), _splits(folder, builder.info.splits))


def _require_format(folder: Path, info: Mapping[str, Any]) -> None:
    formats = [info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ())]
    if FORMAT not in formats:
        full = "/".join(filter(None, (info["name"], info.get("configName"))))
        raise UserError(
            f"'{folder}' is stored as {formats[0]}, which takes TensorFlow to read: where TensorFlow is installed, "
            f"prepare it again in another folder, tfds.builder('{full}', file_format='{FORMAT}', data_dir=FOLDER)"
            ".download_and_prepare(), and set TFDS_DATA_DIR to that folder"
        )


def _keys(folder: Path, features: Any) -> tuple[str, str]:
    """Return the keys of the inputs and of the labels."""
    kinds = library().features
    arrays = [key for key, kind in features.items() if type(kind) in (kinds.Image, kinds.Tensor) and kind.shape != ()]
    labels = [key for key, kind in features.items() if type(kind) is kinds.ClassLabel]
    inputs = _key(folder, features, arrays, "'image' or 'inputs', or only one Image or Tensor that is not a scalar")
    return inputs, _key(folder, features, labels, "'label', or only one ClassLabel")


def _key(folder: Path, features: Any, fits: list[str], wanted: str) -> str:
    usual = [key for key in ("image", "inputs", "label") if key in fits]
    if usual or len(fits) == 1:
        return (usual or fits)[0]
    there = ", ".join(f"{key} ({type(feature).__name__})" for key, feature in sorted(features.items()))
    raise UserError(f"'{folder}' cannot be a domain: it needs a feature {wanted}; its features are: {there}")


def _splits(folder: Path, splits: Mapping[str, Any]) -> dict[str, str]:
    names = list(splits)
    if len(names) == 1:
        return {UNSPLIT: names[0]}
    if {"train", "test"} <= set(names):
        return {part: part for part in ("train", "validation", "test") if part in names}
    if {"train", "validation"} <= set(names):
        return {"train": "train", "test": "validation"}
    wanted = "either one split, or 'train' and 'test' or 'validation'"
    raise UserError(f"'{folder}' cannot be a domain: it needs {wanted}; its splits are: {', '.join(names) or 'none'}")


def _examples(dataset: PreparedDataset, split: str) -> Examples:
    folder = Path(dataset.builder.data_dir)
    inputs, labels = _arrays(dataset, split)
    names = dataset.builder.info.features[dataset.label].names
    if not ((labels >= 0) & (labels < len(names))).all():
        raise UserError(
            f"the split '{split}' of '{folder}' has examples without a label: it cannot be part of a domain"
        )
    order = np.argsort(names)
    classes = tuple(names[i] for i in order)
    return Examples(as_features(folder, dataset.inputs, inputs), np.argsort(order)[labels].astype(np.int32), classes)


def _arrays(dataset: PreparedDataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs [n, ...] of the stored type and labels [n] int64."""
    count = dataset.builder.info.splits[split].num_examples
    inputs, labels = np.empty(0), np.empty(count, np.int64)
    for i, (value, label) in enumerate(_rows(dataset, split, count)):
        if i == 0:
            inputs = np.empty((count, *value.shape), value.dtype)
        if value.shape != inputs.shape[1:]:
            shapes = f"{inputs.shape[1:]} and {value.shape}"
            remedy = "photographs of any size are read as files, from <folder>/<domain>/<class>/*.jpg of the data root"
            raise UserError(
                f"the inputs of '{dataset.builder.data_dir}' have to be of one shape, not {shapes}; {remedy}"
            )
        inputs[i], labels[i] = value, label
    return inputs, labels


def _rows(dataset: PreparedDataset, split: str, count: int) -> Iterator[tuple[np.ndarray, int]]:
    records, as_array = _source(dataset, split)
    for start in range(0, count, CHUNK):
        rows = list(range(start, min(start + CHUNK, count)))
        with _read_errors(Path(dataset.builder.data_dir)):
            batch = records.__getitems__(rows)
        with strict_pillow():
            arrays = [as_array(record[dataset.inputs], row) for record, row in zip(batch, rows, strict=True)]
        yield from zip(arrays, (int(record[dataset.label]) for record in batch), strict=True)


def _source(dataset: PreparedDataset, split: str) -> tuple[Any, Callable[[Any, int], np.ndarray]]:
    """Return records by number, and a function that makes an array of a record's input.

    Images are read as the bytes of their files and decoded like all images of the suite, whether or not OpenCV is
    installed.
    """
    tfds, folder = library(), Path(dataset.builder.data_dir)
    feature = dataset.builder.info.features[dataset.inputs]
    with _read_errors(folder):
        if type(feature) is not tfds.features.Image:
            return dataset.builder.as_data_source(split), lambda value, _row: np.asarray(value)
        records = dataset.builder.as_data_source(split, decoders={dataset.inputs: tfds.decode.SkipDecoding()})
    mode = {1: "L", 3: "RGB"}.get(feature.shape[-1])
    if mode is None or feature.np_dtype != np.uint8:
        kind = f"{feature.np_dtype} images of {feature.shape[-1]} channels"
        raise UserError(f"'{folder}' has {kind}: they have to be uint8, of 1 or 3")
    return records, lambda content, row: _pixels(content, folder / f"{split}[{row}]", mode)


def _pixels(content: bytes, name: Path, mode: str) -> np.ndarray:
    """Decode an image to [h, w, 1 or 3] uint8."""
    image = decode_bytes(content, name).convert(mode)
    return np.asarray(image).reshape(image.height, image.width, -1)


@contextmanager
def _read_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # on damaged files, tfds raises many kinds of errors
        fault = str(error) or type(error).__name__
        raise UserError(f"cannot read '{folder}': {fault}; delete this folder and prepare the data set again") from None
