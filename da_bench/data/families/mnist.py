"""MNIST, from the four official files."""

from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.family import Examples, Family, Parts, register
from da_bench.data.files import check_published, first_existing, read_idx

DIGITS = tuple("0123456789")
COUNTS = {"train": 60000, "test": 10000}
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def read(folder: Path, _domain: str = "mnist") -> Parts:
    """Read grey values [n, 28, 28, 1] uint8 of the train and test parts.

    Raises:
        UserError: a file is corrupt, or does not have the published counts.
    """
    paths = [first_existing(folder / name) for name in FILES]
    return {"train": _examples(paths[0], paths[1], 60000), "test": _examples(paths[2], paths[3], 10000)}


def _examples(image_path: Path, label_path: Path, count: int) -> Examples:
    images, labels = read_idx(image_path), read_idx(label_path)
    check_published(image_path, images.shape, (count, 28, 28))
    check_published(label_path, labels.shape, (count,))
    return Examples(images[..., None], digits(label_path, labels), DIGITS)


def digits(path: Path, labels: np.ndarray) -> np.ndarray:
    """Return labels [n] as int32; `path` is for the message.

    Raises:
        UserError: a label is not a digit.
    """
    if not np.isin(labels, np.arange(10)).all():
        raise UserError(f"'{path}' has labels that are not digits; get a fresh copy of it")
    return labels.astype(np.int32)


register(
    Family(
        name="mnist",
        read=read,
        domains={"mnist": COUNTS},
        classes=DIGITS,
        citation="LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998",
        terms="CC BY-SA 3.0",
        how_to_get="the four official files, https://yann.lecun.com/exdb/mnist/ and its mirrors",
        folder="mnist",
        files=lambda _domain: FILES,
        model="lenet",
    )
)
