"""What a published network, with its own classifier, sees in images: the plainest check that all of it is right."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from da_bench.core.config import UserError
from da_bench.core.trees import unflatten
from da_bench.data.transforms import View, evaluation_input
from da_bench.models import forward
from da_bench.pretrained.convert import published_network
from da_bench.pretrained.example_images import BATCH_SIZE, batches
from da_bench.pretrained.store import load


def read_labels(path: Path) -> list[str]:
    """The names of classes, one a line.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the labels '{path}': {error}; give a text file, a class a line") from None


def classify(
    name: str, files: Sequence[Path], labels: Sequence[str] | None = None
) -> Iterator[tuple[Path, str, float]]:
    """Each image's likeliest class by the weights `name`, and its probability in [0, 1].

    Raises:
        UserError: see `store.load`; the weights have no classifier or are for no images; there is not a label for
            each class; an image cannot be read.
    """
    facts, arrays = load(name)
    if facts.view is None or not facts.classes:
        raise UserError(f"the weights '{name}' have {'no classifier' if facts.view else 'nothing to do with images'}")
    if labels is not None and len(labels) != facts.classes:
        raise UserError(f"{len(labels)} labels for the {facts.classes} classes of '{name}': give one for each")
    model, tree = published_network(facts.arch, facts.convention, facts.classes), unflatten(arrays)
    params, stats, view = tree.pop("params"), tree, facts.view
    predict = jax.jit(lambda p, s, x: jax.nn.softmax(forward(model, p, s, evaluation_input(view, x))[0].logits))
    return _classified(lambda x: np.asarray(predict(params, stats, x)), view, files, labels)


def _classified(
    predict: Callable[[np.ndarray], np.ndarray], view: View, files: Sequence[Path], labels: Sequence[str] | None
) -> Iterator[tuple[Path, str, float]]:
    for i, stored in enumerate(batches(view, files)):
        for file, shares in zip(files[i * BATCH_SIZE :], predict(stored), strict=False):
            best = int(shares.argmax())
            yield file, labels[best] if labels else str(best), float(shares[best])
