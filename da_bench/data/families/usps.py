"""USPS, from LIBSVM's files."""

from pathlib import Path

import numpy as np

from da_bench.data.alike import resize
from da_bench.data.base import Examples, Family, Parts, register
from da_bench.data.families.mnist import DIGITS, digits
from da_bench.data.files import expect, read_libsvm
from da_bench.settings import UserError

COUNTS = {"train": 7291, "test": 2007}
FILES = ("usps.bz2", "usps.t.bz2")


def read(place: Path, _domain: str = "usps") -> Parts:
    """Grey values [n, 28, 28, 1] uint8 of the train and test parts, from 16x16.

    The values in [-1, 1] become the nearest of 256 greys, which Pillow's bilinear filter resizes in integers, so equal
    on every machine. Implementations differ here (other filters, zero padding, MNIST shrunk instead), and so do scores.

    Raises:
        UserError: a file that is corrupt, or not of the published counts.
    """
    return {part: _examples(place / name, COUNTS[part]) for part, name in zip(COUNTS, FILES, strict=True)}


def _examples(path: Path, count: int) -> Examples:
    inputs, labels = read_libsvm(path, features=16 * 16)
    expect(path, len(inputs), count)
    if np.abs(inputs).max() > 1:
        raise UserError(f"'{path}' is not USPS: it has values out of [-1, 1]; get a fresh copy of it")
    greys = np.rint((inputs + 1) * 127.5).astype(np.uint8)
    return Examples(resize(greys.reshape(-1, 16, 16, 1), 28), digits(path, labels - 1), DIGITS)


register(
    Family(
        name="usps",
        read=read,
        domains={"usps": COUNTS},
        classes=DIGITS,
        citation="Hull, A database for handwritten text recognition research, IEEE TPAMI 16(5), 1994",
        terms="research",
        how_to_get="https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass.html#usps",
        folder="usps",
        files=lambda _domain: FILES,
        model="lenet",
    )
)
