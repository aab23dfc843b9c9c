"""Classify images with a published network and its own classifier, the simplest check that an import is right."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.trees import KeyPath, unflatten
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import forward
from da_bench.models.backbone import Backbone
from da_bench.pretrained.convert import published_network
from da_bench.pretrained.example_images import BATCH_SIZE, batches
from da_bench.pretrained.store import load


class Prediction(NamedTuple):
    """Most probable class of one image.

    Attributes:
        file: the image.
        label: name of the class, or its index as text if no names are given.
        probability: of the class, in [0, 1].
    """

    file: Path
    label: str
    probability: float


def read_labels(path: Path) -> list[str]:
    """Read the names of classes from a text file with one name a line.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"cannot read the labels '{path}': {error}; give a text file with the name of one class a line"
        ) from None


def classify(name: str, files: Sequence[Path], labels: Sequence[str] | None = None) -> Iterator[Prediction]:
    """Predict the most probable class of each image.

    Args:
        name: of imported weights.
        files: image files.
        labels: names of the classes by index. None: their indices.

    Raises:
        UserError: see `store.load`; the weights have no classifier or are not for images; the number of labels is not
            the number of classes; an image cannot be read.
    """
    info, arrays = load(name)
    if info.view is None:
        raise UserError(f"the weights '{name}' are not for images; give weights of an image network")
    if not info.classes:
        raise UserError(f"the weights '{name}' have no classifier; import a file that has one")
    if labels is not None and len(labels) != info.classes:
        raise UserError(f"{len(labels)} labels for the {info.classes} classes of '{name}': give one for each class")
    return _predictions(published_network(info.arch, info.convention, info.classes), arrays, info.view, files, labels)


def _predictions(
    model: Backbone,
    arrays: dict[KeyPath, np.ndarray],
    view: View,
    files: Sequence[Path],
    labels: Sequence[str] | None,
) -> Iterator[Prediction]:
    stats = unflatten(arrays)
    params = stats.pop("params")
    predict = jax.jit(lambda p, s, x: jax.nn.softmax(forward(model, p, s, evaluation_input(view, x))[0].logits))
    for i, images in enumerate(batches(view, files)):
        probabilities = np.asarray(predict(params, stats, images))
        for file, row in zip(files[i * BATCH_SIZE :], probabilities, strict=False):
            best = int(row.argmax())
            yield Prediction(file, labels[best] if labels else str(best), float(row[best]))
