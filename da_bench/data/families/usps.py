"""USPS from LIBSVM's files: with the published split, and with a random split of all rows, as in adaptation papers.

The published test rows are known to be harder than the training rows (zip.info of Hastie, Tibshirani and Friedman's The
Elements of Statistical Learning). The file of 28 pixels that came with CoGAN, which the numbers of MCD, SHOT and
pytorch-ada use, has 7438 training and 1860 test rows of the same 9298.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from da_bench.core.config import UserError
from da_bench.data.families.mnist import DIGITS, digits
from da_bench.data.family import Counts, Examples, Family, Parts, random_stream, register
from da_bench.data.files import check_published, read_libsvm
from da_bench.data.harmonise import resize

COUNTS = {"train": 7291, "test": 2007}
POOLED = {"train": 7438, "test": 1860}
FILES = ("usps.bz2", "usps.t.bz2")


def read(folder: Path, _domain: str = "usps") -> dict[str, Examples]:
    """Read grey values [n, 28, 28, 1] uint8 of the train and test parts, resized from 16x16.

    The values in [-1, 1] become the nearest of 256 grey levels, which Pillow's bilinear filter resizes in integers, so
    that they are equal on every machine. Implementations differ here (other filters, zero padding, MNIST shrunk
    instead), and so do their scores.

    Raises:
        UserError: a file is corrupt, or does not have the published counts.
    """
    return {part: _examples(folder / name, COUNTS[part]) for part, name in zip(COUNTS, FILES, strict=True)}


def read_pooled(folder: Path, _domain: str = "usps_pooled") -> Parts:
    """Read as `read` does, with as many test rows as CoGAN's file has. They are drawn from all rows by a fixed seed."""
    published = read(folder).values()
    inputs = np.concatenate([part.inputs for part in published])
    labels = np.concatenate([part.labels for part in published])
    rows = random_stream("usps_pooled").permutation(len(labels))
    parts = zip(POOLED, map(np.sort, np.split(rows, [POOLED["train"]])), strict=True)
    return {part: Examples(inputs[which], labels[which], DIGITS) for part, which in parts}


def _examples(path: Path, count: int) -> Examples:
    inputs, labels = read_libsvm(path, features=16 * 16)
    check_published(path, len(inputs), count)
    if np.abs(inputs).max() > 1:
        raise UserError(f"'{path}' is not USPS: it has values outside of [-1, 1]; get a fresh copy of it")
    greys = np.rint((inputs + 1) * 127.5).astype(np.uint8)
    return Examples(resize(greys.reshape(-1, 16, 16, 1), 28), digits(path, labels - 1), DIGITS)


def _family(name: str, how: Callable[[Path, str], Parts], counts: Counts) -> Family:
    return Family(
        name=name,
        read=how,
        domains={name: counts},
        classes=DIGITS,
        citation="Hull, A database for handwritten text recognition research, IEEE TPAMI 16(5), 1994",
        terms="research",
        how_to_get="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
        folder="usps",
        files=lambda _domain: FILES,
        model="lenet",
    )


register(_family("usps", read, COUNTS), _family("usps_pooled", read_pooled, POOLED))
